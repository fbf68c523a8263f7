//! Splits a line into its simple commands, as far as they are plain words.
//!
//! For a program the line is one simple command with quoted words, which is exact. Shell text is
//! only approximated: what the shell starts is asked about again, and of the commands that matter
//! here only `kill` is a shell builtin.

use std::str::Chars;

/// How deep lines may be nested (`sh -c "sh -c …"`).
const DEEPEST: usize = 8;
/// Programs that run their arguments without being asked about again (set-user-ID), or that are
/// many programs in one.
const FRONTS: [&str; 4] = ["sudo", "doas", "busybox", "toybox"];
/// Options of `sudo` and `doas` that take a value.
const FRONT_VALUES: [&str; 12] =
    ["-u", "-g", "-h", "-p", "-C", "-r", "-t", "-T", "-U", "-D", "-R", "-a"];
/// Words of a shell's grammar, and built-in commands, behind which a command stands.
const BEFORE_COMMANDS: [&str; 12] = [
    "if", "then", "else", "elif", "while", "until", "do", "!", "time", "command", "builtin", "exec",
];
/// Shells, and programs that take `-c LINE` as shells do.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "script"];

/// Whether `look` returns true for any command in the line. It gets the command's words, the first
/// without directory.
pub fn any_command(line: &str, look: &mut impl FnMut(&[String]) -> bool) -> bool {
    any_in(line, 0, look)
}

fn any_in(line: &str, depth: usize, look: &mut impl FnMut(&[String]) -> bool) -> bool {
    depth < DEEPEST && split(line).into_iter().any(|words| any_of(&words, depth, look))
}

fn any_of(mut words: &[String], depth: usize, look: &mut impl FnMut(&[String]) -> bool) -> bool {
    let (program, arguments) = loop {
        let begin = words.iter().position(|word| !is_assignment(word)).unwrap_or(words.len());
        let Some((first, rest)) = words[begin..].split_first() else { return false };
        let program = first.rsplit('/').next().unwrap_or_default();
        let with_value = if FRONTS.contains(&program) {
            &FRONT_VALUES[..]
        } else if BEFORE_COMMANDS.contains(&program) {
            &["-a"]
        } else {
            break (program, rest);
        };
        words = rest;
        while let Some((option, rest)) = words.split_first().filter(|(it, _)| it.starts_with('-')) {
            let values = usize::from(with_value.contains(&option.as_str()));
            words = rest.get(values..).unwrap_or_default();
        }
    };
    let line = match program {
        "eval" => arguments.join(" "),
        // Behind the line come signals.
        "trap" => arguments.first().cloned().unwrap_or_default(),
        _ if SHELLS.contains(&program) => {
            let has_line = |word: &String| {
                word.starts_with('-') && !word.starts_with("--") && word.contains('c')
            };
            let option = arguments.iter().position(has_line);
            let rest = option.map_or(&[][..], |at| &arguments[at + 1..]);
            let line = rest.iter().find(|word| !word.starts_with(['-', '+']));
            line.cloned().unwrap_or_default()
        }
        _ => return look(&[&[program.to_owned()], arguments].concat()),
    };
    any_in(&line, depth + 1, look)
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// The commands between a shell's operators, each as its unquoted words.
pub fn split(line: &str) -> Vec<Vec<String>> {
    split_within(line, DEEPEST)
}

/// The same with at most so many command substitutions within each other.
fn split_within(line: &str, depth: usize) -> Vec<Vec<String>> {
    let Some(depth) = depth.checked_sub(1) else { return Vec::new() };
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
                    match inner {
                        '\\' => word.extend(characters.next()),
                        '`' => {
                            let inner: String =
                                characters.by_ref().take_while(|it| *it != '`').collect();
                            commands.extend(split_within(&inner, depth));
                        }
                        '$' if characters.as_str().starts_with('(') => {
                            commands.extend(split_within(substituted(&mut characters), depth));
                        }
                        other => word.push(other),
                    }
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

/// The text between the parentheses at the beginning of `rest`, which then begins behind them.
fn substituted<'l>(rest: &mut Chars<'l>) -> &'l str {
    let text = rest.as_str();
    let mut depth = 0_usize;
    let end = rest.by_ref().position(|character| {
        depth = match character {
            '(' => depth + 1,
            ')' => depth - 1,
            _ => depth,
        };
        depth == 0
    });
    let inner = end.map_or(text, |_| &text[..text.len() - rest.as_str().len() - 1]);
    inner.strip_prefix('(').unwrap_or(inner)
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
            ("kill \"a $(pgrep \"x\" | tail) b\" c", &["pgrep|x", "tail", "kill|a  b|c"]),
            ("kill \"`pidof x`\" \"$HOME \\$(y)\"", &["pidof|x", "kill||$HOME $(y)"]),
            ("kill \"$(pgrep (x", &["pgrep", "x", "kill|"]),
            ("while ! command -p kill 1; do eval kill 2; done", &["kill|1", "kill|2", "done"]),
            ("trap 'kill 1' EXIT", &["kill|1"]),
            ("", &[]),
            ("'", &[""]),
            ("\\", &[""]),
        ] {
            assert_eq!(commands(line), expected, "{line}");
        }
        let deep = (0..12).fold("kill 1".to_owned(), |line, _| format!("sh -c {line:?}"));
        assert_eq!(commands(&deep), [""; 0]);
        assert_eq!(commands(&"\"$(".repeat(100_000)).len(), super::DEEPEST);
        assert_eq!(commands(&"sudo if ".repeat(100_000)), [""; 0]);
    }
}
