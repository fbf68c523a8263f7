//! Whether a program is a shell with a command line to run: `sh -c LINE`.
//!
//! This decides how a refusal looks, never whether there is one. A shell is known by its name, at
//! any path, also behind a program of `WRAPPERS`.

use crate::command::last_component;
use crate::words::Words;

/// Shells, without a version suffix (`ksh93`, `bash-5.2`).
const SHELLS: Words =
    Words("sh bash rbash dash ash zsh ksh rksh mksh lksh oksh yash posh fish csh tcsh");

/// Programs that are a shell if `argv[0]` or their first argument names one.
const MULTI_CALL: Words = Words("busybox toybox");

/// Programs that run the program named in their arguments.
const WRAPPERS: Words = Words(
    "env nice ionice chrt taskset nohup setsid timeout stdbuf time command sudo doas unshare \
     chroot bwrap firejail sandbox-exec systemd-run caffeinate",
);

/// Whether the program at `path` is a shell with a command line to run. `words` are its arguments,
/// beginning with `argv[0]`.
pub fn is_shell_line<'w>(path: &[u8], mut words: impl Iterator<Item = &'w [u8]> + Clone) -> bool {
    let name = last_component(path);
    let called = words.next().unwrap_or_default();
    let is_multi_call = MULTI_CALL.contains(name);
    if is_shell(name) || is_multi_call && is_shell(called) {
        return is_handed_line(words);
    }
    if is_multi_call || WRAPPERS.contains(name) {
        while let Some(word) = words.next() {
            if is_shell(word) && is_handed_line(words.clone()) {
                return true;
            }
        }
    }
    false
}

/// Whether a word is the name or path of a shell; that of a login shell begins with a dash.
fn is_shell(word: &[u8]) -> bool {
    let name = last_component(word);
    let name = name.strip_prefix(b"-").unwrap_or(name);
    let version = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let end = name.iter().rposition(|byte| !version(byte)).map_or(0, |last| last.saturating_add(1));
    name.get(..end).is_some_and(|name| SHELLS.contains(name))
}

/// Whether a shell's options include `-c`, alone or in a group (`-lc`, `-euo pipefail -c`), or
/// fish's `--command`.
fn is_handed_line<'w>(mut words: impl Iterator<Item = &'w [u8]>) -> bool {
    while let Some(word) = words.next() {
        match word {
            // End of options: what follows, if anything, is a script.
            b"-" | b"--" => return false,
            b"--rcfile" | b"--init-file" | b"--init-command" => {
                words.next();
            }
            [b'-', b'-', long @ ..] => {
                if long == b"command" || long.starts_with(b"command=") {
                    return true;
                }
            }
            [b'-' | b'+', letters @ ..] => {
                if word.starts_with(b"-") && letters.contains(&b'c') {
                    return true;
                }
                // Each takes an argument: `-o pipefail`, bash's `-O extglob`, fish's `-C COMMAND`.
                for _ in letters.iter().filter(|letter| matches!(letter, b'o' | b'O' | b'C')) {
                    words.next();
                }
            }
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(line: &str) -> bool {
        let (path, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words = std::iter::once(last_component(path.as_bytes()));
        is_shell_line(path.as_bytes(), words.chain(rest.split(' ').map(str::as_bytes)))
    }

    #[test]
    fn a_shell_with_a_line_is_recognised() {
        for line in [
            "sh -c x",
            "/bin/bash -c x",
            "bash -lc x",
            "/usr/local/bin/bash-5.2 -ec x",
            "dash -euo pipefail -c x",
            "bash -o pipefail -c x",
            "bash -O extglob +e -c x",
            "bash --norc --rcfile /dev/null -c x",
            "bash +o history -lc x",
            "ksh93 -c x",
            "zsh -f -c x",
            "fish --command=x",
            "fish --no-config --command x",
            "fish -C y -c x",
            "busybox sh -c x",
            "env A=1 -u B bash -lc x",
            "/usr/bin/timeout -k 5 10 sh -c x",
            "nice -n 5 /bin/sh -c x",
            "bwrap --ro-bind / / -- /bin/bash -c x",
            "sudo -u nobody env sh -c x",
        ] {
            assert!(is(line), "{line}");
        }
        let words: [&[u8]; 3] = [b"-sh", b"-c", b"x"];
        assert!(is_shell_line(b"/bin/busybox", words.into_iter()));
    }

    #[test]
    fn anything_else_is_not_a_shell_with_a_line() {
        for line in [
            "bash",
            "bash script.sh -c x",
            "sh -- -c x",
            "sh - -c x",
            "bash --norc script.sh",
            "bash -o noclobber script -c",
            "bash +c x",
            "bash --rcfile -c",
            "grep bash -c file",
            "python3 -c x",
            "env A=1 python3 -c x",
            "timeout 10 make sh",
            "busybox rm -c x",
            "rm -rf /",
            "ssh host -c x",
            "",
        ] {
            assert!(!is(line), "{line}");
        }
        assert!(!is_shell_line(b"/bin/sh", std::iter::empty()));
    }
}
