//! Link flags of the shared library. Those for Linux were chosen by measuring process starts and
//! checks.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=linux/layout.ld");
    let of = |name| std::env::var(name).unwrap_or_default();
    let link = |flags: &[&str]| {
        for flag in flags {
            println!("cargo::rustc-cdylib-link-arg={flag}");
        }
    };
    match of("CARGO_CFG_TARGET_OS").as_str() {
        "linux" => {
            link(&[
                // Nothing in the C start files is needed: 3 µs less at each start.
                "-nostartfiles",
                // Constants and code in one mapping: 9 µs less at each start than in two, and one
                // page fault (1.6 µs) less in each forked child that asks.
                "-Wl,-z,noseparate-code",
                // RELRO costs 6 µs at each start. The constructor makes the same tables and more
                // read-only for less (`linux/layout.ld`).
                "-Wl,-z,norelro",
                concat!("-Wl,-T,", env!("CARGO_MANIFEST_DIR"), "/linux/layout.ld"),
                // An undefined symbol is an error here, not in somebody's process.
                "-Wl,-z,defs",
                "-lc",
            ]);
            // lld knows no such scripts. A cross compiler brings a GNU ld of its own.
            if of("HOST") == of("TARGET") {
                link(&["-fuse-ld=bfd"]);
            }
        }
        "macos" => link(&[
            // Any name will do: dyld loads it by path, and nobody links with it.
            "-Wl,-install_name,@rpath/librampart.dylib",
            // An undefined symbol is an error here, not in somebody's process.
            "-Wl,-undefined,error",
            "-lSystem",
            // The libc crate names libiconv and libcharset as well.
            "-Wl,-dead_strip_dylibs",
        ]),
        _ => {}
    }
}
