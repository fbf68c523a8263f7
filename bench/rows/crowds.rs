//! The cost of many guarded processes: their memory, the server's, and the time of a check among
//! them.

use std::process::Command;

use super::World;
use super::policies::text_of;
use crate::crowd::Crowd;
use crate::servers::{Address, Server};
use crate::setup::CLIENT_CORE;
use crate::sides::{Sides, by_turns, probes};
use crate::table::{Goal, Section, Table, Unit};

const MANY: usize = 1_000;
const IDLE: Section = Section { floor: "as many without the library, each", unit: Unit::Bytes };
const SERVER: Section = Section { floor: "an echo server in C", unit: Unit::Bytes };
const ALONE: Section = Section { floor: "a check with no other process", unit: Unit::Nanoseconds };

pub fn measure(world: &World<'_>, table: &mut Table) -> Result<(), String> {
    let [unix, _] = world.servers.here.addresses();
    table.row(
        "private memory of 1,000 idle processes",
        IDLE,
        Some(Goal::Added(65536.0)),
        || {
            let waiting = |command| Ok(Crowd::start(command, MANY)?.end());
            by_turns(
                1,
                || waiting(crowd(world, Some(&unix), MANY, ["idle", "wait"])),
                || waiting(crowd(world, None, MANY, ["idle", "wait"])),
            )
        },
    )?;
    server_memory(world, table)?;
    for (name, count) in [("10", 10), ("100", 100), ("1,000", MANY)] {
        table.row(format!("check, kept, Unix, among {name} idle"), ALONE, None, || {
            let busy = world.setup.serve(CLIENT_CORE, "busy", &world.setup.policy(), &[])?;
            let [among, _] = busy.addresses();
            let crowd = crowd(world, Some(&among), count, ["check", "hold"]);
            let _crowd = Crowd::start(crowd, count)?;
            probes(|| check(world, &among), || check(world, &unix))
        })?;
    }
    Ok(())
}

fn server_memory(world: &World<'_>, table: &mut Table) -> Result<(), String> {
    let setup = world.setup;
    let ours = || setup.serve(CLIENT_CORE, "memory", &setup.policy(), &[]);
    let echo = || setup.echo(CLIENT_CORE, "memory-echo", &world.servers.answer);
    table.row("private memory of the server", SERVER, None, || {
        Ok(Sides::of(ours()?.private_bytes()?, echo()?.private_bytes()?))
    })?;
    table.row("the same with 1,000 kept connections", SERVER, None, || {
        let full = |server: Server| {
            let [address, _] = server.addresses();
            let _crowd = Crowd::start(crowd(world, Some(&address), MANY, ["check", "hold"]), MANY)?;
            server.private_bytes()
        };
        Ok(Sides::of(full(ours()?)?, full(echo()?)?))
    })?;
    table.row("the same with a policy of 10,000 rules", SERVER, None, || {
        let policy = setup.path("large.yaml");
        std::fs::write(&policy, text_of(10_000)).map_err(|error| error.to_string())?;
        let large = setup.serve(CLIENT_CORE, "large", &policy, &[])?;
        Ok(Sides::of(large.private_bytes()?, echo()?.private_bytes()?))
    })
}

/// Starts `count` probes, guarded if there is a server. Their parent is not guarded.
fn crowd(world: &World<'_>, url: Option<&Address>, count: usize, probe: [&str; 2]) -> Command {
    let setup = world.setup;
    let mut command = match url {
        Some(address) => {
            let mut command = setup.guarded(CLIENT_CORE, "crowd", &address.url);
            command.env_remove("LD_PRELOAD").env("BENCH_CROWD_LIBRARY", &setup.library);
            command
        }
        None => setup.bare(CLIENT_CORE, "crowd"),
    };
    command.arg(count.to_string()).arg(setup.path(probe[0])).arg(probe[1]);
    command
}

fn check(world: &World<'_>, address: &Address) -> Command {
    let mut command = world.setup.guarded(CLIENT_CORE, "check", &address.url);
    command.args(["kept", "300"]);
    command
}
