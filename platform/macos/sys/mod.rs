//! System calls as hooks need them. macOS promises nothing about their numbers, so they go
//! through libSystem, which sets `errno`: [`call`] puts it back.

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
    apart, lacks_stream, occupy, open_to_read, pipe, read_at, status, status_at, working_directory,
};
pub use memory::{make_read_only, map, map_shared};
pub use numbers::{duplicate, is_inherited, is_write_only, set_raises_sigpipe, write};
pub use process::{exit, getpid, is_hidden, is_sealed, now_us};
pub use signal::SignalMask;
pub use socket::{
    Address, connect, connect_in_turn, dwell, is_missing, is_owned, is_quiet, make_known, own,
    receive, receive_dwelling, send, set_no_delay, socket, socket_identity,
};
