//! The C programs of these tests, which are compiled when needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Compiler;

/// How a probe is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    Dynamically,
    /// Without a dynamic loader, so that no library is preloaded.
    Statically,
}

/// Whether this machine has the compiler; if not, says so.
pub fn has(compiler: Compiler) -> bool {
    let answer = Command::new(compiler.command()).arg("--version").output();
    let found = answer.is_ok_and(|it| it.status.success());
    if !found {
        println!("skipped: {} is not installed (Debian: musl-tools)", compiler.command());
    }
    found
}

/// The program made of `probes/NAME.c`, compiled into `directory`.
pub fn compiled(directory: &Path, name: &str, compiler: Compiler, linked: Linked) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/full/probes").join(name);
    let built = directory.join(name);
    fs::create_dir_all(directory).expect("a directory for probes");
    let mut compile = Command::new(compiler.command());
    compile.args(["-O1", "-g", "-Wall", "-Wno-nonnull", "-pthread", "-o"]);
    compile.arg(&built).arg(source.with_extension("c"));
    if linked == Linked::Statically {
        compile.arg("-static");
    }
    let made = compile.output().expect("a C compiler is needed");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success() && said.is_empty(), "{}: {said}", source.display());
    built
}
