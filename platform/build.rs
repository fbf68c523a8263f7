//! Link flags of the shared library; each was chosen by measuring process starts and checks.

fn main() {
    let of = |name| std::env::var(name).unwrap_or_default();
    if of("CARGO_CFG_TARGET_OS") != "linux" {
        return;
    }
    let link = |argument| println!("cargo::rustc-cdylib-link-arg={argument}");
    // No C start files: nothing in them is needed, and each start saves 3 µs.
    link("-nostartfiles");
    // Constants and code in one mapping: 9 µs less at each start than GNU ld's way of keeping
    // them apart, and one page fault (1.6 µs) less in each forked child that asks. lld would
    // need a flag that GNU ld does not know, so the same linker is asked for everywhere. A
    // cross compiler brings its own.
    link("-Wl,-z,noseparate-code");
    if of("HOST") == of("TARGET") {
        link("-fuse-ld=bfd");
    }
    // RELRO costs 3 µs at each start and stays: a stray write is not to reach the GOT.
    // An undefined symbol is an error here, not in a stranger's process.
    link("-Wl,-z,defs");
    link("-lc");
}
