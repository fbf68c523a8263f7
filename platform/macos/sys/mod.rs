//! System calls. Their numbers are not stable on macOS, so they go through libSystem, which sets
//! `errno`; [`call`] restores that.

mod call;
mod deadline;
mod file;
mod memory;
mod numbers;
mod process;
mod signal;
mod socket;

pub use call::close;
pub use deadline::{Deadline, is_writable};
pub use file::{
    has_closed_stream, occupy, open_to_read, pipe, read_at, status, status_at, with_unshared_table,
    working_directory,
};
pub use memory::{is_readable, make_read_only, map, map_shared};
pub use numbers::{duplicate, is_inherited, is_write_only, set_raises_sigpipe, write};
pub use process::{exit, getpid, is_hidden, is_sealed, now_us, process};
pub use signal::SignalMask;
pub use socket::{
    Address, connect, connect_to_full_queue, is_idle, is_missing, is_owned, mark_identity, receive,
    receive_waiting, send, set_no_delay, set_owner, set_receive_timeout, socket, socket_identity,
};
