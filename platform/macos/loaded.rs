//! The loaded image of this library.

use core::ffi::CStr;
use core::mem::MaybeUninit;

/// The path by which dyld opened this library.
pub fn library_file() -> Option<&'static CStr> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    let here = (library_file as *const ()).cast();
    // SAFETY: zeroed pointers are a valid structure, which dladdr(3) fills in.
    let info = unsafe { (libc::dladdr(here, info.as_mut_ptr()) != 0).then(|| info.assume_init()) };
    let name = info.map(|info| info.dli_fname).filter(|name| !name.is_null())?;
    // SAFETY: a string of dyld's, which it keeps as long as the library is loaded.
    Some(unsafe { CStr::from_ptr(name) })
}

/// dyld has no variable that makes it list libraries and exit.
pub fn listing_variable() -> Option<&'static CStr> {
    None
}
