//! Link flags of the shared library; those for Linux were chosen by measuring process starts.

fn main() {
    let flags: &[&str] = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => &[
            // No C start files: nothing in them is needed, and each start saves 3 µs.
            "-nostartfiles",
            // One mapping for constants and code: one page fault and one mprotect fewer.
            "-Wl,--no-rosegment",
            // An undefined symbol is an error here, not in a stranger's process.
            "-Wl,-z,defs",
            "-lc",
        ],
        Ok("macos") => &[
            // Found by the path in DYLD_INSERT_LIBRARIES; nobody links with it.
            "-Wl,-install_name,@rpath/librampart.dylib",
            // An undefined symbol is an error here, not in a stranger's process.
            "-Wl,-undefined,error",
            "-lSystem",
            // The libc crate names libiconv and libcharset as well.
            "-Wl,-dead_strip_dylibs",
        ],
        _ => &[],
    };
    for flag in flags {
        println!("cargo::rustc-cdylib-link-arg={flag}");
    }
}
