//! The policy server that belongs to one guarded run.

use std::ffi::CStr;
use std::path::Path;
use std::time::Instant;

use super::own_server::{self, Access};
use crate::audit::{Audit, Durability};
use crate::failure::Failure;
use crate::home::Home;
use crate::mode::Mode;
use crate::policy_file::InForce;
use crate::server::{Policy, Reload};

const TITLE: &CStr = c"rampart-policy";

/// Starts a server for the process tree whose root this process is about to become. It compiles its
/// policy while the command starts. In a sealed run the keeper answers, so that is left until a first
/// question comes.
///
/// # Errors
/// As [`own_server::start`].
pub fn start(
    policy: InForce,
    mode: Mode,
    home: &Home,
    durability: Durability,
    library: &Path,
    is_sealed: bool,
) -> Result<Access, Failure> {
    let rules = Reload::never(policy, Instant::now());
    let audit = match durability {
        Durability::Synced => Audit::asked_for(&home.audit(), durability)?,
        _ => Audit::open(&home.audit(), durability),
    };
    own_server::start(TITLE, home, library, 0, !is_sealed, |_| {
        let policy = Policy::new(mode, rules, audit)?;
        Ok(async move |server, shutdown| {
            if !is_sealed {
                policy.prepare();
            }
            policy.serve(server, shutdown).await;
        })
    })
}
