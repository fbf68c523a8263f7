//! Finds the library to preload, and checks that the loader will accept it: otherwise the loader
//! only prints a warning, and the command would run unguarded.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use memchr::memmem;
use nix::sys::statvfs::{FsFlags, statvfs};
use rampart_core::coverage::Coverage;
use rampart_core::library_mark::{MARK, NAME};

use crate::failure::{Failure, say};
use crate::home::Home;
use crate::owner::other_writers;
use crate::program::coverage_of;
use crate::text_file;

const SYSTEM_LIBRARIES: &str = "/usr/local/lib";
/// Far longer than a library with its symbols.
const LONGEST_BYTES: u64 = 64 << 20;

/// The file name of the library on this system.
pub fn file_name() -> String {
    format!("{DLL_PREFIX}rampart{DLL_SUFFIX}")
}

/// The absolute path of a library that can be preloaded.
///
/// # Errors
/// There is none, or it cannot be used.
pub fn find(home: &Home) -> Result<PathBuf, Failure> {
    let (path, cure) = match named() {
        Some(path) => (path, "name another in RAMPART_LIBRARY"),
        None => (installed(home)?, "run `rampart setup`, or name another in RAMPART_LIBRARY"),
    };
    let path = std::path::absolute(&path)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    check(&path).map_err(|fault| {
        let path = path.display();
        Failure::usage(format!("the library {path} cannot be preloaded: {fault}; {cure}"))
    })?;
    Ok(path)
}

/// Says if others may write to the library, and so run what they like in all that is guarded.
pub fn tell_of_other_writers(library: &Path) {
    if let Some(who) = library.metadata().ok().as_ref().and_then(other_writers) {
        let library = library.display();
        say(format!(
            "the library {library} can be written by {who}: `chmod go-w {library}`, or make it yours"
        ));
    }
}

/// The library to install: the one in `RAMPART_LIBRARY` or that came with this program, otherwise
/// the installed one, otherwise one built from source.
///
/// # Errors
/// There is none, or it cannot be used.
pub fn find_to_install(home: &Home) -> Result<PathBuf, Failure> {
    let there = home.libraries().join(file_name());
    let there = there.symlink_metadata().is_ok().then_some(there);
    let found = named().or_else(with_program).or(there);
    let path = found.map_or_else(|| build(Path::new(SOURCE)), Ok)?;
    check(&path)
        .map_err(|fault| Failure::new(format!("cannot install {}: {fault}", path.display())))?;
    Ok(path)
}

fn named() -> Option<PathBuf> {
    std::env::var_os("RAMPART_LIBRARY").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn installed(home: &Home) -> Result<PathBuf, Failure> {
    let name = file_name();
    let candidates = [home.libraries().join(&name), Path::new(SYSTEM_LIBRARIES).join(&name)];
    candidates
        .into_iter()
        .find(|candidate| candidate.symlink_metadata().is_ok())
        .or_else(with_program)
        .ok_or_else(|| {
            Failure::usage(format!(
                "cannot find {name} in {}, in {SYSTEM_LIBRARIES} or beside this program: \
                 run `rampart setup`, or name it in RAMPART_LIBRARY",
                home.libraries().display()
            ))
        })
}

/// The library that came with this program: beside it, or in the package's `lib/rampart`.
fn with_program() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    // Look beside the link first: a package manager keeps that path across updates.
    let real = program.canonicalize().ok();
    let folders = [Some(program.as_path()), real.as_deref()];
    let folders = folders.into_iter().flatten().filter_map(Path::parent);
    let places = |folder: &Path| {
        let of_package = folder.parent().map(|above| above.join("lib/rampart"));
        [Some(folder.to_path_buf()), of_package]
    };
    let files = folders.flat_map(places).flatten().map(|folder| folder.join(file_name()));
    files.into_iter().find(|library| library.symlink_metadata().is_ok())
}

/// The source that this program was built from, which `cargo install` leaves in place.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Builds the library from this program's source.
fn build(source: &Path) -> Result<PathBuf, Failure> {
    let name = file_name();
    let by_hand = "run `make` in its source, or name the library in RAMPART_LIBRARY";
    let source = source.canonicalize().ok().filter(|source| is_own(source)).ok_or_else(|| {
        Failure::new(format!(
            "there is no {name} with this program, and its source is no longer where it was \
             built from ({}): {by_hand}",
            source.display()
        ))
    })?;
    say(format!("there is no {name} with this program: make -C {} library", source.display()));
    let mut make = Command::new("make");
    make.arg("-C").arg(&source).arg("library").env_remove("CARGO_TARGET_DIR");
    // Stdout may be read by a program, so make's output goes to stderr.
    match make.stdout(std::io::stderr()).status() {
        Ok(status) if status.success() => Ok(source.join("target/release").join(name)),
        Ok(status) => Err(Failure::new(format!("make could not build it ({status}): {by_hand}"))),
        Err(error) => Err(Failure::new(format!("cannot run make: {error}: {by_hand}"))),
    }
}

/// Whether the source exists and nobody else could have created or changed it.
fn is_own(source: &Path) -> bool {
    [source, &source.join("Makefile"), &source.join("platform/Cargo.toml")].iter().all(|path| {
        path.metadata().is_ok_and(|facts| {
            facts.uid() == nix::unistd::geteuid().as_raw() && facts.mode() & 0o022 == 0
        })
    })
}

/// Whether the loader would load this file into programs like this one.
fn check(path: &Path) -> Result<(), String> {
    let read = |path: &Path| -> io::Result<Header> {
        let mut header = [0; size_of::<Header>()];
        text_file::open(path)?.read_exact(&mut header)?;
        Ok(header)
    };
    let metadata = path.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    let library = read(path).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is not a shared library".to_owned(),
        _ => error.to_string(),
    })?;
    let program = std::env::current_exe()
        .and_then(|program| read(&program))
        .map_err(|error| format!("cannot compare it with this program: {error}"))?;
    fits(&library, &program)?;
    is_complete(&library, metadata.len())?;
    if coverage_of(path.as_os_str()) == Some(Coverage::Full) {
        return Err("it is a program, and not a shared library".to_owned());
    }
    is_ours(path)?;
    let flags = statvfs(path).map_or(FsFlags::empty(), |system| system.flags());
    if is_noexec(flags) {
        return Err("its file system is mounted noexec".to_owned());
    }
    Ok(())
}

/// Whether it is librampart, and a version that this program knows: any other library would be
/// loaded and guard nothing.
fn is_ours(path: &Path) -> Result<(), String> {
    let mut content = Vec::new();
    text_file::open(path)
        .and_then(|file| file.take(LONGEST_BYTES).read_to_end(&mut content))
        .map_err(|error| error.to_string())?;
    if memmem::find(&content, &MARK).is_some() {
        Ok(())
    } else if memmem::find(&content, NAME).is_some() {
        Err("it belongs to another version of rampart".to_owned())
    } else {
        Err("it is not this rampart's library".to_owned())
    }
}

/// The first bytes of an ELF or Mach-O file, which identify it.
type Header = [u8; 64];

/// Whether a library is for the program's architecture, by its ELF header (elf(5)).
#[cfg(not(target_os = "macos"))]
fn fits(library: &Header, program: &Header) -> Result<(), String> {
    const SHARED_OBJECT: u16 = 3;
    let half = |at: usize| u16::from_ne_bytes([library[at], library[at + 1]]);
    if library[..4] != program[..4] {
        return Err("it is not a shared library".to_owned());
    }
    // `EI_CLASS`, `EI_DATA` and `e_machine`.
    if library[4..6] != program[4..6] || library[18..20] != program[18..20] {
        return Err("it is built for another machine".to_owned());
    }
    if half(16) != SHARED_OBJECT {
        return Err("it is an ELF file, but not a shared library".to_owned());
    }
    Ok(())
}

/// Whether a library of so many bytes has its section headers, with which the file ends: not if a
/// disk was full or a copy was interrupted.
#[cfg(not(target_os = "macos"))]
fn is_complete(library: &Header, bytes: u64) -> Result<(), String> {
    let half = |at: usize| u64::from(u16::from_ne_bytes([library[at], library[at + 1]]));
    // `e_shoff`, `e_shentsize` and `e_shnum` of a 64-bit file.
    let headers: [u8; 8] = std::array::from_fn(|at| library[40 + at]);
    let end = u64::from_ne_bytes(headers).saturating_add(half(58) * half(60));
    if end > bytes { Err("it is cut short".to_owned()) } else { Ok(()) }
}

/// A file of macOS does not tell its length.
#[cfg(target_os = "macos")]
fn is_complete(_library: &Header, _bytes: u64) -> Result<(), String> {
    Ok(())
}

/// Whether a library is for the program's architecture, or is universal (`FAT_MAGIC`,
/// mach-o/fat.h).
#[cfg(target_os = "macos")]
fn fits(library: &Header, program: &Header) -> Result<(), String> {
    const SEVERAL_MACHINES: [u8; 4] = [0xca, 0xfe, 0xba, 0xbe];
    if library[..4] == SEVERAL_MACHINES || library[..8] == program[..8] {
        Ok(())
    } else {
        Err("it is not a library for this machine".to_owned())
    }
}

#[cfg(target_os = "linux")]
fn is_noexec(flags: FsFlags) -> bool {
    flags.contains(FsFlags::ST_NOEXEC)
}

#[cfg(not(target_os = "linux"))]
fn is_noexec(_flags: FsFlags) -> bool {
    false
}

/// Whether the preload list can hold the path: blanks and colons separate entries, and `$` begins a
/// token such as `$ORIGIN` (ld.so(8)).
pub fn can_be_listed(path: &Path) -> bool {
    let divides = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b':' | b'$');
    !path.as_os_str().as_bytes().iter().any(divides)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{build, can_be_listed, check};

    #[test]
    fn a_library_is_built_from_a_source_of_ones_own_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let source = tempfile::tempdir().unwrap();
        let missing = build(&source.path().join("gone")).unwrap_err();
        assert!(missing.sentence().contains("RAMPART_LIBRARY"), "{}", missing.sentence());
        std::fs::create_dir(source.path().join("platform")).unwrap();
        std::fs::write(source.path().join("platform/Cargo.toml"), "").unwrap();
        let makefile = source.path().join("Makefile");
        std::fs::write(&makefile, "library:\n\t@mkdir -p target/release; touch made\n").unwrap();
        let rights = |mode| {
            std::fs::set_permissions(&makefile, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        rights(0o666);
        assert!(build(source.path()).is_err());
        assert!(!source.path().join("made").exists());
        rights(0o644);
        let library = build(source.path()).unwrap();
        assert!(library.ends_with(format!("target/release/{}", super::file_name())));
        assert!(source.path().join("made").exists());
        std::fs::write(&makefile, "library:\n\t@exit 3\n").unwrap();
        let failed = build(source.path()).unwrap_err();
        assert!(failed.sentence().contains("make could not build it"), "{}", failed.sentence());
    }

    #[test]
    fn only_a_path_that_the_loader_cannot_misread_can_be_listed() {
        for (path, can) in [
            ("/home/me/.rampart/lib/librampart.so", true),
            ("/home/j\u{fc}rgen/librampart.so", true),
            ("/home/two words/librampart.so", false),
            ("/a:b/librampart.so", false),
            ("/$HOME/librampart.so", false),
            ("/tab\there/librampart.so", false),
        ] {
            assert_eq!(can_be_listed(Path::new(path)), can, "{path}");
        }
    }

    #[test]
    fn what_is_no_library_is_told_from_what_is_not_there() {
        let program = std::env::current_exe().unwrap();
        let directory = program.parent().unwrap();
        assert!(check(Path::new("/nonexistent/librampart.so")).is_err());
        assert_eq!(check(directory), Err("it is not a file".to_owned()));
        assert!(check(Path::new("/etc/passwd")).is_err());
    }
}
