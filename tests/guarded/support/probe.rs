//! The library under test, and the C programs that test it, compiled when first
//! needed.

use std::env;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that names libraries to the loader.
pub const PRELOAD: &str =
    if cfg!(target_os = "macos") { "DYLD_INSERT_LIBRARIES" } else { "LD_PRELOAD" };

/// Which C library a probe is linked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    System,
    Musl,
}

impl Compiler {
    fn command(self) -> &'static str {
        match self {
            Self::System => "cc",
            Self::Musl => "musl-gcc",
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

/// The C program (or for `NAME.so` the library) made of `probes/NAME.c`.
pub fn probe(name: &str, compiler: Compiler) -> PathBuf {
    linked_probe(name, compiler, None)
}

/// The same, which the loader must load `library` for.
pub fn linked_probe(name: &str, compiler: Compiler, library: Option<&Path>) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guarded/probes");
    let stem = name.strip_suffix(".so").unwrap_or(name);
    let source = sources.join(stem).with_extension("c");
    // macOS would rather have no vfork.
    let quiet = ["-Wno-nonnull", "-Wno-deprecated-declarations"];
    let mut flags: Vec<&str> = [&["-O0", "-Wall"][..], &quiet, &["-pthread", "-o"]].concat();
    if name != stem {
        flags.splice(0..0, ["-shared", "-fPIC"]);
    }
    let mut hasher = DefaultHasher::new();
    (compiler.command(), &flags, library).hash(&mut hasher);
    for file in [&source, &sources.join("calls.h")] {
        fs::read(file).expect("the probe's source").hash(&mut hasher);
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probes");
    fs::create_dir_all(&kept).expect("a directory for probes");
    let built = kept.join(format!("{:016x}-{name}", hasher.finish()));
    if !built.exists() {
        // Tests are threads, or processes of their own: each makes its own file, and the
        // last rename wins.
        let own = tempfile::Builder::new().tempfile_in(&kept).expect("a file").into_temp_path();
        let mut compile = Command::new(compiler.command());
        compile.args(&flags).arg(&own).arg(&source).args(library).arg("-ldl");
        let made = compile.output().expect("a C compiler (cc) is needed");
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success() && said.is_empty(), "{}: {said}", source.display());
        own.persist(&built).expect("the probe takes its place");
    }
    built
}
