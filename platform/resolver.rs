//! Resolves the server's host name, in the first process of a tree only.
//!
//! Its children inherit the address in `RAMPART_ADDRESS`, so that no hook ever resolves a name.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;

use rampart_core::arena::{Arena, Decimal};

/// A host's first address in the form of `RAMPART_ADDRESS`: `IP:PORT`, an IPv6 address in brackets.
pub fn resolve(host: &[u8], port: u16, arena: &mut Arena<'static>) -> Option<&'static [u8]> {
    let host = CStr::from_bytes_with_nul(arena.join(&[host, b"\0"]).ok()?).ok()?;
    let mut room = [0; 64];
    let ip = numeric_address(host, &mut room)?;
    let (open, close): (&[u8], &[u8]) =
        if ip.contains(&b':') { (b"[", b"]:") } else { (b"", b":") };
    arena.join(&[open, ip, close, Decimal::new(u64::from(port)).as_bytes()]).ok()
}

fn numeric_address<'r>(host: &CStr, room: &'r mut [u8]) -> Option<&'r [u8]> {
    // SAFETY: zeroed integers and null pointers are valid; they mean no hints (getaddrinfo(3)).
    let mut hints: libc::addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list: *mut libc::addrinfo = core::ptr::null_mut();
    // SAFETY: the pointers are valid during the calls. On success the list has an entry
    // (getaddrinfo(3)), and it is not used after `freeaddrinfo`.
    let status = unsafe {
        let no_service = core::ptr::null();
        if libc::getaddrinfo(host.as_ptr(), no_service, &raw const hints, &raw mut list) != 0 {
            return None;
        }
        let length = libc::socklen_t::try_from(room.len()).ok()?;
        let text = room.as_mut_ptr().cast::<c_char>();
        let (address, size) = ((*list).ai_addr, (*list).ai_addrlen);
        let numeric = libc::NI_NUMERICHOST;
        let status =
            libc::getnameinfo(address, size, text, length, core::ptr::null_mut(), 0, numeric);
        libc::freeaddrinfo(list);
        status
    };
    if status != 0 {
        return None;
    }
    CStr::from_bytes_until_nul(room).ok().map(CStr::to_bytes)
}
