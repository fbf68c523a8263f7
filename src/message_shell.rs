//! The shell that runs instead of a refused program: it writes the reason to the stderr that the
//! program would have had, and exits with [`STATUS`].
//!
//! The message is never run as code: it is an argument of the shell or, for functions that take
//! only a command line, a quoted word in that line.

use core::ffi::CStr;

use crate::arena::{Full, TextBuffer};

/// The shell, by its path: PATH may be the caller's.
pub const SHELL: &CStr = c"/bin/sh";

/// The exit status of a shell whose command cannot be executed (POSIX, "Exit Status for
/// Commands").
pub const STATUS: i32 = 126;

/// Writes its first argument to stderr. SIGPIPE is ignored so that the status stays the same if
/// nobody reads stderr.
const SCRIPT: &CStr = c"trap '' PIPE; printf '%s' \"$1\" >&2; exit 126";

/// The arguments of the shell, without the last one: the message.
pub const ARGUMENTS: [&CStr; 4] = [c"sh", c"-c", SCRIPT, c"rampart"];

/// The environment may hold an exported function named `printf`. Functions cannot replace special
/// built-ins such as `unset` (POSIX, "Command Search and Execution").
const BEGIN: &[u8] = b"unset -f printf 2>/dev/null; set -- '";
const END: &[u8] = b"'; ";
const QUOTE: &[u8] = br"'\''";

/// Writes a command line that prints `said`, with a final NUL. A message that does not fit is cut.
///
/// # Errors
/// [`Full`] if not even an empty message fits.
pub fn write_line(said: &[u8], room: &mut [u8]) -> Result<(), Full> {
    let script = SCRIPT.to_bytes_with_nul();
    let kept = room.len().checked_sub(END.len() + script.len()).ok_or(Full)?;
    let mut line = TextBuffer::new(room.get_mut(..kept).ok_or(Full)?);
    line.push(BEGIN)?;
    for byte in said {
        let piece = if *byte == b'\'' { QUOTE } else { core::slice::from_ref(byte) };
        if *byte == 0 || line.push(piece).is_err() {
            break;
        }
    }
    let length = line.as_bytes().len();
    let mut rest = TextBuffer::new(room.get_mut(length..).ok_or(Full)?);
    rest.push(END)?;
    rest.push(script)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::Command;

    const SAID: &[u8] =
        b"it's 'not' \\n \"here\": $(touch /nonexistent/x) `y` $HOME %s -e \xc3\xa9 \xff\n  two\n";

    fn line_of(said: &[u8], bytes: usize) -> Vec<u8> {
        let mut room = vec![0xaa; bytes];
        write_line(said, &mut room).expect("there is room");
        let line = CStr::from_bytes_until_nul(&room).expect("a final NUL");
        line.to_bytes().to_vec()
    }

    fn shells() -> impl Iterator<Item = &'static str> {
        ["/bin/sh", "/bin/bash", "/bin/dash", "/bin/zsh", "/bin/ksh", "/bin/mksh"]
            .into_iter()
            .filter(|shell| std::path::Path::new(shell).exists())
    }

    #[test]
    fn every_shell_prints_the_message_byte_for_byte() {
        for shell in shells() {
            let line = line_of(SAID, 2048);
            let by_line = Command::new(shell).arg("-c").arg(OsStr::from_bytes(&line)).output();
            let arguments = ARGUMENTS.map(|it| OsStr::from_bytes(it.to_bytes()));
            let by_argument = Command::new(shell)
                .args(&arguments[1..])
                .arg(OsStr::from_bytes(SAID))
                .env_clear()
                .output();
            for output in [by_line, by_argument] {
                let output = output.expect("a shell");
                assert_eq!(output.stderr, SAID, "{shell}");
                assert_eq!((output.status.code(), &*output.stdout), (Some(STATUS), &b""[..]));
            }
        }
    }

    #[test]
    fn an_exported_printf_is_not_called() {
        let line = line_of(b"said", 512);
        let output = Command::new("/bin/bash")
            .args(["--posix", "-c"])
            .arg(OsStr::from_bytes(&line))
            .env("BASH_FUNC_printf%%", "() { echo instead; }")
            .output();
        if let Ok(output) = output {
            assert_eq!((&*output.stderr, &*output.stdout), (&b"said"[..], &b""[..]));
        }
    }

    #[test]
    fn a_long_message_is_cut_but_never_inside_an_escaped_quote() {
        let least = BEGIN.len() + END.len() + SCRIPT.count_bytes() + 1;
        assert_eq!(write_line(b"x", &mut vec![0; least - 1]), Err(Full));
        for bytes in least..least + 30 {
            let line = line_of(b"a''b'c'", bytes);
            let said = Command::new("/bin/sh").arg("-c").arg(OsStr::from_bytes(&line)).output();
            let said = said.expect("a shell").stderr;
            assert!(b"a''b'c'".starts_with(&said), "{}", String::from_utf8_lossy(&said));
        }
    }
}
