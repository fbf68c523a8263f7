//! What the system layers of all operating systems give: descriptors, and the status of files.

use core::ffi::c_int;

use rampart_core::coverage::Status;

use crate::os::sys;

/// A descriptor of ours; closed when dropped.
#[derive(Debug)]
pub struct Descriptor(c_int);

impl Descriptor {
    /// Takes over a number that stands for a descriptor of ours.
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

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// There is something to receive, or the end.
    Readable,
    /// There is room to send, or something to receive.
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

/// What there is to know of a file without reading it.
#[derive(Debug, Clone, Copy)]
pub struct FileStatus {
    /// Who may run it, as whom, and how the system protects it.
    pub rights: Status,
    /// Numbers that no other file has, nor this one after a change.
    pub identity: [u64; 6],
}

/// A moment of a file's, in nanoseconds.
pub fn moment(seconds: i64, nanoseconds: i64) -> u64 {
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds).cast_unsigned()
}
