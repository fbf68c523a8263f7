//! Splits a line into its simple commands, as far as they are plain words.
//!
//! For a program the line is one simple command with quoted words, which is exact. Shell text is
//! only approximated: what the shell starts is asked about again, and of the commands that matter
//! here only `kill` is a shell builtin.

/// How deep lines may be nested (`sh -c "sh -c …"`).
const DEEPEST: usize = 8;
/// Programs that run their arguments without being asked about again (set-user-ID), or that are
/// many programs in one.
const FRONTS: [&str; 4] = ["sudo", "doas", "busybox", "toybox"];
/// Options of `sudo` and `doas` that take a value.
const FRONT_VALUES: [&str; 12] =
    ["-u", "-g", "-h", "-p", "-C", "-r", "-t", "-T", "-U", "-D", "-R", "-a"];
/// Shells, and programs that take `-c LINE` as shells do.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "script"];

/// Whether `look` returns true for any command in the line. It gets the command's words, the first
/// without directory.
pub fn any_command(line: &str, look: &mut impl FnMut(&[String]) -> bool) -> bool {
    any_in(line, 0, look)
}

fn any_in(line: &str, depth: usize, look: &mut impl FnMut(&[String]) -> bool) -> bool {
    depth < DEEPEST && split(line).into_iter().any(|words| any_of(words, depth, look))
}

fn any_of(mut words: Vec<String>, depth: usize, look: &mut impl FnMut(&[String]) -> bool) -> bool {
    let begin = words.iter().position(|word| !is_assignment(word)).unwrap_or(words.len());
    words.drain(..begin);
    let Some(program) = words.first_mut() else { return false };
    *program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let program = program.clone();
    if FRONTS.contains(&program.as_str()) {
        words.remove(0);
        while words.first().is_some_and(|word| word.starts_with('-')) {
            let option = words.remove(0);
            if FRONT_VALUES.contains(&option.as_str()) && !words.is_empty() {
                words.remove(0);
            }
        }
        return any_of(words, depth, look);
    }
    if SHELLS.contains(&program.as_str()) {
        let has_line =
            |word: &String| word.starts_with('-') && !word.starts_with("--") && word.contains('c');
        let option = words.iter().position(has_line);
        let rest = option.map_or(&[][..], |at| &words[at + 1..]);
        let line = rest.iter().find(|word| !word.starts_with(['-', '+']));
        return line.is_some_and(|line| any_in(line, depth + 1, look));
    }
    look(&words)
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// The commands between a shell's operators, each as its unquoted words.
pub fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => {
                let word = word.get_or_insert_default();
                word.extend(characters.by_ref().take_while(|it| *it != '\''));
            }
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(inner) = characters.next().filter(|it| *it != '"') {
                    word.extend(if inner == '\\' { characters.next() } else { Some(inner) });
                }
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            ';' | '|' | '&' | '(' | ')' | '{' | '}' | '`' | '\n' => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            blank if blank.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    commands.push(words);
    commands.retain(|words| !words.is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use super::any_command;

    fn commands(line: &str) -> Vec<String> {
        let mut found = Vec::new();
        any_command(line, &mut |words| {
            found.push(words.join("|"));
            false
        });
        found
    }

    #[test]
    fn a_line_is_taken_apart_into_its_commands() {
        for (line, expected) in [
            ("pkill -f 'a b'", &["pkill|-f|a b"][..]),
            ("/usr/bin/kill -9 '12'\\''3'", &["kill|-9|12'3"]),
            ("a;b && c | d\ne & (f)", &["a", "b", "c", "d", "e", "f"]),
            ("'a;b' \"c|d \\\"\" e\\ f", &["a;b|c|d \"|e f"]),
            ("A=1 B= kill 1", &["kill|1"]),
            ("sh -c 'x; kill 1'", &["x", "kill|1"]),
            ("bash -lc \"sh -ec 'kill 1'\"", &["kill|1"]),
            ("sudo -u root -n pkill x", &["pkill|x"]),
            ("busybox killall x", &["killall|x"]),
            ("sh script.sh", &[]),
            ("", &[]),
            ("'", &[""]),
            ("\\", &[""]),
        ] {
            assert_eq!(commands(line), expected, "{line}");
        }
        let deep = (0..12).fold("kill 1".to_owned(), |line, _| format!("sh -c {line:?}"));
        assert_eq!(commands(&deep), [""; 0]);
    }
}
