//! The library under test, and the C programs that test it, which are compiled when needed.

use std::env;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::sandbox::make_process;
use super::system::System;

/// Which C library a probe is linked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    System,
    Musl,
    /// Of 64-bit ARM, in an emulator under minidyld.
    Arm64,
}

impl Compiler {
    /// Its name.
    pub fn command(self) -> &'static str {
        match self {
            Self::System => "cc",
            Self::Musl => "musl-gcc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        }
    }
}

/// The library under test: `RAMPART_TEST_LIBRARY`, else what `make` built.
pub fn library() -> PathBuf {
    let path = env::var_os("RAMPART_TEST_LIBRARY").map_or_else(built_library, PathBuf::from);
    assert!(path.is_file(), "{} is missing: run `make` first", path.display());
    path.canonicalize().expect("the library has a path")
}

fn built_library() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root.join(target).join(format!("release/{DLL_PREFIX}rampart{DLL_SUFFIX}"))
}

/// The words that start a program made by `compiler`.
pub fn started(program: &str, compiler: Compiler) -> Vec<String> {
    let mut words = Vec::new();
    if compiler == Compiler::Arm64 {
        let loader = System::here().loader(true).expect("a miniature dyld");
        let preload = format!("LD_PRELOAD={}", loader.display());
        words.extend([EMULATOR, "-L", "/usr/aarch64-linux-gnu", "-E", &preload].map(str::to_owned));
    }
    words.push(program.to_owned());
    words
}

/// Debian's qemu-user.
pub const EMULATOR: &str = "/usr/bin/qemu-aarch64";

/// The C program (or for `NAME.so` the library) made of `probes/NAME.c`.
pub fn probe(name: &str, compiler: Compiler) -> PathBuf {
    linked_probe(name, compiler, None)
}

/// The same, linked with `library`.
pub fn linked_probe(name: &str, compiler: Compiler, library: Option<&Path>) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guarded/probes");
    let stem = name.strip_suffix(".so").unwrap_or(name);
    let source = sources.join(stem).with_extension("c");
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/minidyld/mac.h");
    let loader = System::here().loader(compiler == Compiler::Arm64);
    let loader = loader.as_ref();
    // macOS declares vfork deprecated.
    let quiet = ["-Wno-nonnull", "-Wno-deprecated-declarations"];
    let mut flags: Vec<&str> = [&["-O0", "-Wall"][..], &quiet, &["-pthread", "-o"]].concat();
    if name != stem {
        flags.splice(0..0, ["-shared", "-fPIC"]);
    }
    let mut hasher = DefaultHasher::new();
    (compiler.command(), &flags, library, loader).hash(&mut hasher);
    for file in [&source, &sources.join("calls.h"), &harness] {
        fs::read(file).expect("the probe's source").hash(&mut hasher);
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probes");
    fs::create_dir_all(&kept).expect("a directory for probes");
    let built = kept.join(format!("{:016x}-{name}", hasher.finish()));
    if !built.exists() {
        // Other tests, in threads or processes, may compile it too: each writes a file of its own,
        // and the last rename wins.
        let own = tempfile::Builder::new().tempfile_in(&kept).expect("a file").into_temp_path();
        let mut compile = Command::new(compiler.command());
        compile.args(&flags).arg(&own);
        if loader.is_some() {
            compile.arg("-include").arg(&harness);
        }
        compile.arg(&source).args(library).args(loader).arg("-ldl");
        compile.stdout(Stdio::piped()).stderr(Stdio::piped());
        let made = make_process(|| compile.spawn()).and_then(Child::wait_with_output);
        let made = made.expect("a C compiler (cc) is needed");
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success() && said.is_empty(), "{}: {said}", source.display());
        own.persist(&built).expect("the probe takes its place");
    }
    built
}
