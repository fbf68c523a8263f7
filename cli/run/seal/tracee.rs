//! A process that waits in a system call: the program that it wants to start, as the kernel will
//! see it.

use std::borrow::Cow;
use std::ffi::{CString, OsStr, OsString};
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{Pid, geteuid, getpid};
use rampart_core::arena::Decimal;
use rampart_core::command::truthful_name;
use rampart_core::shell_line;

use super::filter::{Abi, Call};
use super::memory::Memory;

/// The longest path, its NUL included (`PATH_MAX`, linux/limits.h).
const LONGEST_PATH: usize = 4096;

/// More than the longest path of a process in `/proc` that is asked for here.
const PROC_PATH: usize = 64;

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// The thread that made it.
    pub thread: Pid,
    pub arch: u32,
    pub number: i32,
    pub arguments: [u64; 6],
}

/// A program that is about to be started.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// A truthful name of the program in place of `argv[0]`, then the arguments.
    pub words: Vec<OsString>,
    /// What it is called in `argv[0]`, if that is another name.
    pub other_name: Option<OsString>,
    /// Whether it is a shell that is passed a command line (`sh -c`).
    pub is_shell_line: bool,
    /// The working directory, if known.
    pub cwd: Option<Vec<u8>>,
    /// The pipes (`pipe:[N]`) at its standard input and output.
    pub pipes: [Option<String>; 2],
    /// What the kernel will copy; `None` if it makes up the path itself, as for a descriptor.
    pub started: Option<Started>,
}

impl Program {
    /// The programs that `argv` names, whatever the path is: the one that it calls itself, and the
    /// script that this interprets. A tracer such as `proot` starts a loader of its own in place of
    /// each program, and leaves `argv`.
    pub fn called(self) -> Vec<Self> {
        let Self { mut words, other_name: Some(name), cwd, pipes, .. } = self else {
            return Vec::new();
        };
        if let Some(first) = words.first_mut() {
            *first = name;
        }
        let is_path = |word: &OsString| word.as_bytes().starts_with(b"/");
        let script = words.iter().take(3).skip(1).position(is_path).filter(|_| is_path(&words[0]));
        let script = script.map(|at| words[at + 1..].to_vec());
        let of = |words: Vec<OsString>| {
            let is_shell_line = words.first().is_some_and(|name| {
                shell_line::is_shell_line(name.as_bytes(), words.iter().map(|it| it.as_bytes()))
            });
            let (cwd, pipes) = (cwd.clone(), pipes.clone());
            Self { words, other_name: None, is_shell_line, cwd, pipes, started: None }
        };
        script.into_iter().chain([words]).map(of).collect()
    }
}

/// What a call passes to the kernel and can be found again in the started program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub path: Vec<u8>,
    /// The length of all arguments, NULs included.
    pub argv_bytes: u64,
    /// The length of the first one, which a script's interpreter replaces.
    pub first_bytes: u64,
    /// The addresses of the path and of the argument list.
    pub addresses: [u64; 2],
}

/// Why there is no program to ask about.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call will fail with this error anyway.
    Fails(Errno),
    /// The call's arguments cannot be read.
    Unreadable(Errno),
}

impl Waiting {
    /// The call's ABI and kind.
    pub fn call(&self) -> Option<(&'static Abi, Call)> {
        Abi::of(self.arch, self.number)
    }

    /// The program that a call of this kind wants to start. `has_moved`: paths may mean other files
    /// there than in this process.
    ///
    /// # Errors
    /// [`Fault`]
    pub fn program(&self, abi: &Abi, call: Call, has_moved: bool) -> Result<Program, Fault> {
        let mut memory = Memory::new(self.thread, abi.pointer);
        let arguments = &self.arguments;
        let (base, path_at, argv, flags) = match call {
            Call::Execveat => (descriptor(arguments[0]), arguments[1], arguments[2], arguments[4]),
            _ => (Base::Directory, arguments[0], arguments[1], 0),
        };
        memory.read_ahead([path_at, argv]);
        let path = memory.string(path_at).map_err(of_memory)?;
        if path.len() >= LONGEST_PATH {
            return Err(Fault::Fails(Errno::ENAMETOOLONG));
        }
        let base = if path.starts_with(b"/") { Base::Root } else { base };
        let opened = match (path.is_empty(), &base) {
            (true, _) if flags & libc::AT_EMPTY_PATH as u64 == 0 => {
                return Err(Fault::Fails(Errno::ENOENT));
            }
            (_, Base::Descriptor(number)) => Some(self.name_of(*number)?),
            _ => opened_by(&path).and_then(|number| self.name_of(number).ok()),
        };
        let name = match opened {
            Some(opened) if path.is_empty() || matches!(base, Base::Root) => Cow::Owned(opened),
            Some(directory) => Cow::Owned([&directory[..], b"/", &path].concat()),
            None => Cow::Borrowed(&path[..]),
        };
        self.look(&base, &path, has_moved)?;
        let mut words = memory.strings(argv).map_err(of_memory)?;
        let mut lengths = words.iter().map(|word| word.len() as u64 + 1);
        let first_bytes = lengths.next().unwrap_or(0);
        let argv_bytes = first_bytes + lengths.sum::<u64>();
        let is_shell_line = shell_line::is_shell_line(&name, words.iter().map(Vec::as_slice));
        let called = words.first().map(Vec::as_slice);
        let named = truthful_name(&name, called);
        let other_name = called.filter(|it| !it.is_empty() && *it != named);
        let other_name = other_name.map(|it| OsString::from_vec(it.to_vec()));
        if called != Some(named) {
            let named = named.to_vec();
            words.splice(..words.len().min(1), [named]);
        }
        let words = words.into_iter().map(OsString::from_vec).collect();
        let mut place = Place::of(self.thread);
        let cwd = place.link("cwd", <[u8]>::to_vec).ok();
        let pipes = ["fd/0", "fd/1"].map(|of| place.link(of, pipe).ok().flatten());
        let is_as_given = matches!(base, Base::Root | Base::Directory);
        let addresses = [path_at, argv];
        let started = is_as_given.then_some(Started { path, argv_bytes, first_bytes, addresses });
        Ok(Program { words, other_name, is_shell_line, cwd, pipes, started })
    }

    /// Whether it is in this process's PID namespace.
    pub fn shares_processes(&self) -> bool {
        // If that cannot be told, assume so.
        self.shares("pid").unwrap_or(true)
    }

    fn shares(&self, namespace: &str) -> Result<bool, Errno> {
        let of = ["ns/", namespace].concat();
        let own = Place::of(getpid()).link(&of, <[u8]>::to_vec)?;
        Place::of(self.thread).link(&of, |its| its == own)
    }

    /// Whether it has this process's rights to look up paths: the same user and user namespace.
    fn looks_alike(&self) -> bool {
        let owner = std::fs::metadata(format!("/proc/{}", self.thread)).map(|it| it.uid());
        owner.is_ok_and(|owner| owner == geteuid().as_raw()) && self.shares("user") == Ok(true)
    }

    fn path(&self, of: &str) -> String {
        path(self.thread, of)
    }

    /// The name of the file at a descriptor, also of a memfd or a deleted file.
    fn name_of(&self, number: i32) -> Result<Vec<u8>, Fault> {
        let name = Place::of(self.thread).link(&format!("fd/{number}"), <[u8]>::to_vec);
        name.map_err(|error| match error {
            Errno::ENOENT => Fault::Fails(Errno::EBADF),
            error => Fault::Unreadable(error),
        })
    }

    /// Whether its root directory is this process's.
    fn has_our_root(&self) -> bool {
        static OURS: OnceLock<Option<MountedDirectory>> = OnceLock::new();
        let ours = OURS.get_or_init(|| MountedDirectory::of("/"));
        ours.is_some() && MountedDirectory::of(&self.path("root")) == *ours
    }

    /// Checks that there is a file to start, as seen from the process's root or working directory.
    /// Fails only if the call certainly would.
    fn look(&self, base: &Base, path: &[u8], has_moved: bool) -> Result<(), Fault> {
        let is_ours = || is_startable(path) && (!has_moved || self.has_our_root());
        if matches!(base, Base::Root) && is_ours() {
            return Ok(());
        }
        let (of, resolve) = match base {
            Base::Root => ("root", ResolveFlag::RESOLVE_IN_ROOT),
            Base::Directory => ("cwd", ResolveFlag::RESOLVE_BENEATH),
            // It has been named already, so it exists.
            Base::Descriptor(_) => return Ok(()),
        };
        let (directory, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..=slash], &path[slash + 1..]),
            None => (&b"."[..], path),
        };
        if matches!(name, b"" | b"." | b"..") {
            return Ok(());
        }
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let Ok(base) = open(self.path(of).as_str(), flags | OFlag::O_DIRECTORY, Mode::empty())
        else {
            return Ok(());
        };
        let find = |path: &[u8], flags| {
            let how = OpenHow::new().flags(flags).resolve(resolve);
            openat2(&base, OsStr::from_bytes(path), how)
        };
        let parent = match find(directory, flags | OFlag::O_DIRECTORY) {
            Ok(parent) => parent,
            Err(error @ (Errno::ENOENT | Errno::ENOTDIR)) if !is_of_proc(path) => {
                return Err(Fault::Fails(error));
            }
            // Usually another user's home directory in PATH.
            Err(Errno::EACCES) if self.looks_alike() => return Err(Fault::Fails(Errno::EACCES)),
            Err(_) => return Ok(()),
        };
        // `self` and the like mean another process there than here.
        if fstatfs(&parent).is_ok_and(|it| it.filesystem_type() == PROC_SUPER_MAGIC) {
            return Ok(());
        }
        match status(&parent, name) {
            Err(Errno::ENOENT) => Err(Fault::Fails(Errno::ENOENT)),
            Err(_) => Ok(()),
            Ok(link) if kind(&link) == SFlag::S_IFLNK => {
                // A link that cannot be followed from here may lead to /proc.
                let target = find(path, flags).and_then(|target| status_of(&target));
                target.map_or(Ok(()), |target| check(&target))
            }
            Ok(file) => check(&file),
        }
    }
}

/// A directory in one mount.
#[derive(Debug, PartialEq, Eq)]
struct MountedDirectory {
    mount: u64,
    device: (u32, u32),
    inode: u64,
}

impl MountedDirectory {
    /// `None` if the kernel does not tell (before Linux 5.8).
    fn of(path: &str) -> Option<Self> {
        let path = CString::new(path).ok()?;
        let wanted = libc::STATX_INO | libc::STATX_MNT_ID;
        // SAFETY: it has only numbers, for which zeros are valid.
        let mut found: libc::statx = unsafe { std::mem::zeroed() };
        let flags = libc::AT_STATX_DONT_SYNC;
        // SAFETY: the kernel reads a path that ends with NUL, and writes one `statx`.
        let done =
            unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, wanted, &raw mut found) };
        (done == 0 && found.stx_mask & wanted == wanted).then_some(Self {
            mount: found.stx_mnt_id,
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
        })
    }
}

/// Whether the path is an executable file in this process's root.
fn is_startable(path: &[u8]) -> bool {
    let file = fstatat(AT_FDCWD, OsStr::from_bytes(path), AtFlags::empty());
    file.is_ok_and(|file| check(&file).is_ok())
}

/// What `/proc` has of a thread (`proc_pid(5)`). Three of its links are read for each question, so
/// nothing is allocated for that, and the number is written once.
struct Place {
    path: [u8; PROC_PATH],
    /// Where the names of the files begin.
    end: usize,
}

impl Place {
    fn of(thread: Pid) -> Self {
        let mut path = [0; PROC_PATH];
        let mut left = &mut path[..];
        let number = Decimal::new(thread.as_raw().unsigned_abs().into());
        for part in [&b"/proc/"[..], number.as_bytes(), b"/"] {
            // There is room for every number.
            let _ = left.write_all(part);
        }
        let end = PROC_PATH - left.len();
        Self { path, end }
    }

    /// What is made of where a link leads.
    ///
    /// # Errors
    /// As `readlink(2)`.
    fn link<T>(&mut self, of: &str, make: impl FnOnce(&[u8]) -> T) -> Result<T, Errno> {
        let (name, nul) =
            self.path[self.end..].split_at_mut_checked(of.len()).ok_or(Errno::ENAMETOOLONG)?;
        name.copy_from_slice(of.as_bytes());
        *nul.first_mut().ok_or(Errno::ENAMETOOLONG)? = 0;
        let mut room = [MaybeUninit::<u8>::uninit(); LONGEST_PATH];
        // SAFETY: readlink(2) reads a string that ends with NUL and writes at most the length of
        // `room` into it.
        let read = unsafe {
            libc::readlink(self.path.as_ptr().cast(), room.as_mut_ptr().cast(), room.len())
        };
        let length = usize::try_from(Errno::result(read)?).unwrap_or_default();
        // SAFETY: readlink(2) has written so many bytes, of those that there are.
        Ok(make(unsafe { std::slice::from_raw_parts(room.as_ptr().cast(), length) }))
    }
}

/// The pipe that a link stands for.
fn pipe(link: &[u8]) -> Option<String> {
    let is_pipe = link.starts_with(b"pipe:[");
    is_pipe.then(|| String::from_utf8_lossy(link).into_owned())
}

fn path(thread: Pid, of: &str) -> String {
    ["/proc/", &thread.as_raw().to_string(), "/", of].concat()
}

/// What a path is relative to.
enum Base {
    Root,
    Directory,
    Descriptor(i32),
}

#[allow(clippy::cast_possible_truncation, reason = "the kernel takes the low half as well")]
fn descriptor(argument: u64) -> Base {
    match argument as i32 {
        it if it == libc::AT_FDCWD => Base::Directory,
        number => Base::Descriptor(number),
    }
}

/// The descriptor that a path such as `/dev/fd/3` means.
fn opened_by(path: &[u8]) -> Option<i32> {
    let prefixes: [&[u8]; 3] = [b"/proc/self/fd/", b"/proc/thread-self/fd/", b"/dev/fd/"];
    let number = prefixes.iter().find_map(|prefix| path.strip_prefix(*prefix))?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn is_of_proc(path: &[u8]) -> bool {
    path.starts_with(b"/proc/")
}

fn of_memory(error: Errno) -> Fault {
    match error {
        Errno::EFAULT | Errno::E2BIG => Fault::Fails(error),
        error => Fault::Unreadable(error),
    }
}

/// Only a regular file with an execute bit can be started (execve(2)).
fn check(file: &FileStat) -> Result<(), Fault> {
    let anybody = libc::S_IXUSR | libc::S_IXGRP | libc::S_IXOTH;
    if kind(file) == SFlag::S_IFREG && file.st_mode & anybody != 0 {
        Ok(())
    } else {
        Err(Fault::Fails(Errno::EACCES))
    }
}

fn kind(file: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT
}

fn status(directory: &OwnedFd, name: &[u8]) -> Result<FileStat, Errno> {
    fstatat(directory, OsStr::from_bytes(name), AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn status_of(file: &OwnedFd) -> Result<FileStat, Errno> {
    fstatat(file, "", AtFlags::AT_EMPTY_PATH)
}

/// Whether this kernel has `openat2(2)`.
///
/// # Errors
/// `ENOSYS` before Linux 5.6.
pub fn can_look() -> Result<(), Errno> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    openat2(AT_FDCWD, "/", how).map(drop)
}
