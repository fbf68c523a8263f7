//! The policy server that belongs to one guarded run.

use std::ffi::CStr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

use super::lifetime::Lifetime;
use super::own_server::{self, Access, Post};
use crate::audit::{Audit, Durability};
use crate::failure::Failure;
use crate::home::Home;
use crate::mode::Mode;
use crate::policy_file::InForce;
use crate::server::{Parts, Reload, Server, listen::Listener};

const TITLE: &CStr = c"rampart-policy";

/// Starts a server for the tree of processes that this process is about to become
/// the root of.
///
/// # Errors
/// As [`own_server::start`].
pub fn start(
    policy: InForce,
    mode: Mode,
    home: &Home,
    durability: Durability,
    library: &Path,
) -> Result<Access, Failure> {
    let policy = Reload::never(policy, Instant::now());
    let audit = Audit::open(&home.audit(), durability);
    let file = audit.file().map(AsRawFd::as_raw_fd);
    own_server::start(TITLE, home, library, file, |Post { listeners, token, tree }| {
        let listeners = listeners.into_iter().map(Listener::unix).collect::<Result<_, _>>();
        let listeners =
            listeners.map_err(|error| Failure::new(format!("cannot listen: {error}")))?;
        let server = Server::new(Parts {
            listeners,
            token,
            mode,
            policy,
            audit,
            lifetime: Lifetime::Tree(tree),
        })?;
        Ok(move || {
            let _ = server.run();
        })
    })
}
