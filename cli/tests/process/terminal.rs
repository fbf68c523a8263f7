//! A pseudo-terminal for a program, and what a person would see on it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use vt100::{Parser, Screen};

use crate::world::wait_until;

/// A program in a terminal, killed on drop.
pub struct Terminal {
    process: Child,
    keyboard: File,
    parser: Arc<Mutex<Parser>>,
    reader: Option<std::thread::JoinHandle<()>>,
    is_closed: Arc<AtomicBool>,
}

impl Terminal {
    /// Starts the program in a new terminal of this size.
    pub fn start(command: &mut Command, columns: u16, rows: u16) -> Self {
        let ends = openpty(&size(columns, rows), None).unwrap();
        // Who has it open, if only by chance, keeps the terminal from ending.
        fcntl(&ends.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        let slave = File::from(ends.slave);
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap());
        command.stderr(slave);
        // SAFETY: both calls are async-signal-safe, as a forked child requires.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                match libc::ioctl(0, libc::TIOCSCTTY as libc::c_ulong, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let process = command.spawn().unwrap();
        // The command's copies would keep the terminal open.
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let keyboard = File::from(ends.master);
        let mut output = keyboard.try_clone().unwrap();
        let parser = Arc::new(Mutex::new(Parser::new(count(rows), count(columns), 0)));
        let screen = Arc::clone(&parser);
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&is_closed);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // On Linux, reading fails once nobody has the terminal open (EIO).
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                screen.lock().unwrap().process(&bytes[..count]);
                if closed.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        Self { process, keyboard, parser, reader: Some(reader), is_closed }
    }

    /// The screen.
    pub fn screen(&self) -> Screen {
        self.parser.lock().unwrap().screen().clone()
    }

    /// Its text, one line per row.
    pub fn text(&self) -> String {
        self.screen().contents()
    }

    /// Waits until the screen shows these words.
    pub fn shows(&self, words: &str) {
        wait_until_on(self, words, |text| text.contains(words));
    }

    /// Waits until the screen no longer shows these words.
    pub fn hides(&self, words: &str) {
        wait_until_on(self, words, |text| !text.contains(words));
    }

    /// Waits until everything that the ended program wrote is on the screen.
    pub fn is_drained(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }

    /// Presses keys.
    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Resizes it, as a terminal window does.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.parser.lock().unwrap().screen_mut().set_size(count(rows), count(columns));
        let size = size(columns, rows);
        // SAFETY: the call reads one `winsize`, which this is.
        let done = unsafe {
            libc::ioctl(
                std::os::fd::AsRawFd::as_raw_fd(&self.keyboard),
                libc::TIOCSWINSZ,
                &raw const size,
            )
        };
        assert_eq!(done, 0);
    }

    /// Closes it, as who closes a terminal's window does.
    pub fn close(&mut self) {
        self.is_closed.store(true, Ordering::Relaxed);
        // Whoever redraws has the reader look once more.
        self.resize(79, 23);
        self.is_drained();
        self.keyboard = File::open("/dev/null").unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The program's status, once it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the end of what runs in the terminal", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_until_on(terminal: &Terminal, words: &str, is_so: impl Fn(&str) -> bool) {
    let start = std::time::Instant::now();
    while !is_so(&terminal.text()) {
        let waited = start.elapsed() < crate::world::TIMEOUT;
        assert!(waited, "waited for {words:?} in vain on:\n{}", terminal.text());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn count(of: u16) -> NonZero<u16> {
    NonZero::new(of).unwrap()
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
