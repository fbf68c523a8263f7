//! Link flags of the shared library; each was chosen by measuring process starts.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    // No C start files: nothing in them is needed, and each start saves 3 µs.
    println!("cargo::rustc-cdylib-link-arg=-nostartfiles");
    // GNU ld would keep code apart from constants, which costs two mappings more and 9 µs; lld
    // does not. RELRO costs 3 µs and stays: a stray write is not to reach the GOT.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,noseparate-code");
    // An undefined symbol is an error here, not in a stranger's process.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,defs");
    println!("cargo::rustc-cdylib-link-arg=-lc");
}
