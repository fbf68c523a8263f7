//! The cost of starting a program under the library.

use std::path::Path;
use std::process::Command;

use super::World;
use crate::setup::CLIENT_CORE;
use crate::sides::probes;
use crate::table::{Goal, Section, Table, Unit};

const COUNT: &str = "60";
const EMPTY: Section = Section { floor: "a spawn with an empty library", unit: Unit::Nanoseconds };
const BARE: Section = Section { floor: "a bare spawn", unit: Unit::Nanoseconds };

pub fn measure(world: &World<'_>, table: &mut Table) -> Result<(), String> {
    let setup = world.setup;
    let bare = || {
        let mut command = setup.bare(CLIENT_CORE, "spawn");
        command.arg(COUNT);
        command
    };
    let preloaded = |library: &Path| {
        let mut command = bare();
        command.env("LD_PRELOAD", library);
        command
    };
    let disabled = || {
        let mut command = preloaded(&setup.library);
        command.env("RAMPART_MODE", "disabled");
        command
    };
    let guarded = |url: &str| -> Command {
        let mut command = setup.guarded(CLIENT_CORE, "spawn", url);
        // As `rampart preload` sets it.
        command.arg(COUNT).env("RAMPART_NOTICE", "1");
        command
    };
    table.row("spawn, disabled", EMPTY, Some(Goal::Median(1.0)), || {
        probes(disabled, || preloaded(&setup.empty_library))
    })?;
    for (address, goal) in
        world.servers.here.addresses().into_iter().zip([Some(Goal::Median(1.35)), None])
    {
        table.row(format!("spawn, guarded, {}", address.transport), BARE, goal, || {
            probes(|| guarded(&address.url), bare)
        })?;
    }
    table.row("rampart preload, its own server, and true", BARE, None, || {
        let preload = || {
            let mut command = setup.bare(CLIENT_CORE, "spawn");
            command.arg("10").arg(&setup.rampart).args(["preload", "--policy"]);
            command.arg(setup.policy()).args(["--", "/bin/true"]);
            command.env("RAMPART_HOME", setup.path("home"));
            command.env("RAMPART_LIBRARY", &setup.library);
            command
        };
        probes(preload, bare)
    })?;
    let [_, tcp] = world.servers.here.addresses();
    for peer in std::env::var("BENCH_PEERS").unwrap_or_default().split_whitespace() {
        table.row(format!("spawn, {peer}"), BARE, None, || {
            let peer = || {
                let mut command = guarded(&tcp.url);
                command.env("LD_PRELOAD", peer);
                command
            };
            probes(peer, bare)
        })?;
    }
    Ok(())
}
