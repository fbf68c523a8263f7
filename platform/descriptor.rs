//! Types that all system layers share: descriptors, events, and the status of files.

use core::ffi::c_int;

use rampart_core::coverage::Status;

use crate::os::sys;

/// A descriptor of the library's; closed when dropped.
#[derive(Debug)]
pub struct Descriptor(c_int);

impl Descriptor {
    /// Takes ownership of a descriptor.
    pub fn from_number(number: c_int) -> Self {
        Self(number)
    }

    /// The number.
    pub fn number(&self) -> c_int {
        self.0
    }

    /// Gives up the descriptor without closing it.
    pub fn into_number(self) -> c_int {
        core::mem::ManuallyDrop::new(self).0
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        sys::close(self.0);
    }
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Bytes have arrived, or the connection has ended.
    Readable,
    /// There is room to send, or bytes have arrived.
    Writable,
}

impl Event {
    /// The bits for `poll(2)`.
    pub fn bits(self) -> i16 {
        match self {
            Self::Readable => libc::POLLIN,
            Self::Writable => libc::POLLIN | libc::POLLOUT,
        }
    }
}

/// What `stat(2)` tells of a file.
#[derive(Debug, Clone, Copy)]
pub struct FileStatus {
    /// Its type, permissions and flags.
    pub rights: Status,
    /// Numbers that differ from those of any other file, and of this one after a change.
    pub identity: [u64; 6],
}

/// A timestamp of a file, in nanoseconds.
pub fn moment(seconds: i64, nanoseconds: i64) -> u64 {
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds).cast_unsigned()
}
