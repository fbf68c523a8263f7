//! The library's data that nobody writes to after load (`layout.ld`).

use super::sys;

/// Whether [`make_data_read_only`] protects what stands in the section `.bss.at_load`.
pub const HAS_READ_ONLY_DATA: bool = true;

/// Ends all writing to the data outside of the pages for what changes.
pub fn make_data_read_only() {
    unsafe extern "C" {
        static rampart_read_only_begin: u8;
        static rampart_read_only_end: u8;
    }
    let (begin, end) = (&raw const rampart_read_only_begin, &raw const rampart_read_only_end);
    // SAFETY: the layout has it begin with a page and end with the library, whose last page holds
    // nothing else. The loader has relocated the library before any code of it runs.
    unsafe { sys::make_read_only(begin.cast(), end.addr().saturating_sub(begin.addr())) };
}
