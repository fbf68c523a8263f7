//! The library's data that is read-only after load (`layout.ld`).

use super::sys;

/// Whether [`make_data_read_only`] protects the section `.bss.at_load`.
pub const HAS_READ_ONLY_DATA: bool = true;

/// Makes all data read-only but for the pages of `.mutable`.
pub fn make_data_read_only() {
    unsafe extern "C" {
        static rampart_read_only_begin: u8;
        static rampart_read_only_end: u8;
    }
    let (begin, end) = (&raw const rampart_read_only_begin, &raw const rampart_read_only_end);
    // SAFETY: the linker script aligns both ends to pages, and nothing writes to these pages after
    // load: the loader relocates the library before its constructor runs.
    unsafe { sys::make_read_only(begin.cast(), end.addr().saturating_sub(begin.addr())) };
}
