//! The `#!` line of a script, read as the kernels read it.

use crate::host::Os;

/// The interpreter of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interpreter<'l> {
    /// Its path.
    pub path: &'l [u8],
    /// The rest of the line, trimmed.
    pub argument: &'l [u8],
}

/// How many bytes of a script a kernel reads: `BINPRM_BUF_SIZE` of Linux, `IMG_SHSIZE` of XNU.
const fn longest_line(os: Os) -> usize {
    match os {
        Os::Linux => 256,
        Os::MacOs => 512,
    }
}

/// The interpreter of the script that begins with `head`; `None` if the kernel would not run it as
/// a script.
pub fn interpreter(os: Os, head: &[u8]) -> Option<Interpreter<'_>> {
    let head = head.get(..longest_line(os)).unwrap_or(head);
    let text = head.strip_prefix(b"#!")?;
    let ends = |byte: &u8| matches!((*byte, os), (b'\n' | 0, _) | (b'#', Os::MacOs));
    let (line, is_whole) = match text.iter().position(ends) {
        Some(end) => (text.get(..end)?, true),
        None => (text, head.len() < longest_line(os)),
    };
    let line = trim(line);
    let path = line.split(|byte| is_blank(*byte)).next().filter(|path| !path.is_empty())?;
    let argument = line.get(path.len()..).unwrap_or_default();
    // Linux cuts an argument that is too long, but does not cut the path (binfmt_script.c).
    let is_run = is_whole || (os == Os::Linux && !argument.is_empty());
    is_run.then_some(Interpreter { path, argument: trim(argument) })
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|byte| !is_blank(*byte)) else { return b"" };
    let end = text.iter().rposition(|byte| !is_blank(*byte)).unwrap_or_default();
    text.get(start..=end).unwrap_or_default()
}

impl<'l> Interpreter<'l> {
    /// The program that `env(1)` will start, by path or name, if the interpreter is `env` and its
    /// arguments are simple enough to tell.
    #[must_use]
    pub fn behind_env(&self, os: Os) -> Option<&'l [u8]> {
        let is_env = matches!(self.path, b"/usr/bin/env" | b"/bin/env");
        let mut words = self.argument.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty());
        // XNU splits the rest of the line into words, Linux passes it on as one.
        let mut is_split = os == Os::MacOs;
        let name = loop {
            let word = words.next().filter(|_| is_env)?;
            if word.starts_with(b"-S") {
                is_split = true;
                if let Some(name) = word.get(2..).filter(|name| !name.is_empty()) {
                    break name;
                }
            } else if !(is_split && is_skipped(word)) {
                break word;
            }
        };
        let is_whole = is_split || name.len() == self.argument.len();
        let is_plain = !name.starts_with(b"-") && !name.iter().any(|it| b"\\\"'$=".contains(it));
        (is_whole && is_plain).then_some(name)
    }
}

/// Whether such a word comes before the program of `env` and does not change PATH.
fn is_skipped(word: &[u8]) -> bool {
    matches!(word, b"-" | b"-i" | b"-v") || (word.contains(&b'=') && !word.starts_with(b"PATH="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(os: Os, head: &str) -> Option<(&str, &str)> {
        let Interpreter { path, argument } = interpreter(os, head.as_bytes())?;
        let text = |bytes| std::str::from_utf8(bytes).expect("text");
        Some((text(path), text(argument)))
    }

    #[test]
    fn the_line_is_read_as_the_kernels_do() {
        let table = [
            ("#!/bin/sh\necho", Some(("/bin/sh", ""))),
            ("#! /bin/sh -e \necho", Some(("/bin/sh", "-e"))),
            ("#!\t/bin/sh\t-e  -u\t\n", Some(("/bin/sh", "-e  -u"))),
            ("#!/bin/sh", Some(("/bin/sh", ""))),
            ("#!/bin/sh\0-e\n", Some(("/bin/sh", ""))),
            ("#!/bin/sh\r\n", Some(("/bin/sh\r", ""))),
            ("#!relative x\n", Some(("relative", "x"))),
            ("#!\n/bin/sh", None),
            ("#!  \n/bin/sh", None),
            ("#!", None),
            ("#", None),
            (" #!/bin/sh\n", None),
        ];
        for (head, expected) in table {
            assert_eq!(read(Os::Linux, head), expected, "{head:?}");
            assert_eq!(read(Os::MacOs, head), expected, "{head:?}");
        }
        // For XNU a second # ends the line.
        assert_eq!(read(Os::Linux, "#!/bin/sh # x\n"), Some(("/bin/sh", "# x")));
        assert_eq!(read(Os::MacOs, "#!/bin/sh # x\n"), Some(("/bin/sh", "")));
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_or_refused_as_by_the_kernels() {
        let path = "x".repeat(longest_line(Os::Linux) - 3);
        let fits = format!("#!{path}\n");
        assert_eq!(read(Os::Linux, &fits), Some((&*path, "")));
        assert_eq!(read(Os::Linux, &format!("#!x{path}\n")), None);
        let argument = format!("#!/bin/sh {path}\n");
        let cut = &path[..longest_line(Os::Linux) - "#!/bin/sh ".len()];
        assert_eq!(read(Os::Linux, &argument), Some(("/bin/sh", cut)));
        assert_eq!(read(Os::MacOs, &argument), Some(("/bin/sh", &*path)));
        let longer = format!("#!/bin/sh {}\n", "x".repeat(longest_line(Os::MacOs)));
        assert_eq!(read(Os::MacOs, &longer), None);
    }

    #[test]
    fn the_program_behind_env_is_named() {
        let both = |line: &'static str| {
            let line = format!("#!/usr/bin/env {line}\n");
            [Os::Linux, Os::MacOs].map(|os| {
                let name = interpreter(os, line.as_bytes())?.behind_env(os)?;
                Some(String::from_utf8(name.to_vec()).expect("text"))
            })
        };
        let node = Some("node".to_owned());
        for line in
            ["node", " node ", "-S node --flag", "-Snode --flag", "-S A=1 node", "-S -i node"]
        {
            assert_eq!(both(line), [node.clone(), node.clone()], "{line}");
        }
        for line in ["node --flag", "A=1 node", "-i node"] {
            assert_eq!(both(line), [None, node.clone()], "{line}");
        }
        for line in
            ["", "-S", "-u A node", "-S PATH=/x node", "-S 'node' x", "-S ${X}", "--", "-S-i node"]
        {
            assert_eq!(both(line), [None, None], "{line}");
        }
        let sh = interpreter(Os::Linux, b"#!/bin/sh node\n").expect("an interpreter");
        assert_eq!(sh.behind_env(Os::Linux), None);
        let env = interpreter(Os::Linux, b"#!/bin/env /opt/node\n").expect("an interpreter");
        assert_eq!(env.behind_env(Os::Linux), Some(&b"/opt/node"[..]));
    }
}
