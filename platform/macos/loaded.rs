//! What dyld has loaded.

use core::ffi::CStr;
use core::mem::MaybeUninit;

/// The file that the loader took this library from, as it was told.
pub fn library_file() -> Option<&'static CStr> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    let here = (library_file as *const ()).cast();
    // SAFETY: the structure is dladdr's to write; all-zero is a valid value of it.
    let info = unsafe { (libc::dladdr(here, info.as_mut_ptr()) != 0).then(|| info.assume_init()) };
    let name = info.map(|info| info.dli_fname).filter(|name| !name.is_null())?;
    // SAFETY: the loader's own string, which lives as long as the library.
    Some(unsafe { CStr::from_ptr(name) })
}

/// dyld has no variable that makes it list libraries and end.
pub fn listing_variable() -> Option<&'static CStr> {
    None
}
