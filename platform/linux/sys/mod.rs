//! Raw system calls: they do not set `errno`, are no cancellation points, and do not go through
//! another library's hooks.

mod call;
mod deadline;
mod file;
mod memory;
mod numbers;
mod process;
mod signal;
mod socket;
mod unshared_table;

pub use call::{LARGEST_ERRNO, call, close, register};
pub use deadline::{Deadline, is_writable};
pub use file::{
    Link, occupy, open_to_read, pipe, read_at, read_link, status, status_at, working_directory,
};
pub use memory::{is_readable, make_read_only, map, map_shared};
pub use numbers::{duplicate, is_inherited, is_open, is_write_only, write};
pub use process::{exit, getpid, is_hidden, is_sealed, now_us, process};
pub use signal::SignalMask;
pub use socket::{
    Address, connect, connect_to_full_queue, is_idle, is_missing, is_owned, mark_identity, receive,
    receive_waiting, send, set_no_delay, set_owner, set_receive_timeout, socket, socket_identity,
};
pub use unshared_table::{has_closed_stream, with_unshared_table};
