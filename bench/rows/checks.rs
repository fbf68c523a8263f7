//! The cost of a check, beside the same bytes sent to the same server by plain system calls, and
//! beside a refused connect if there is no server.

use super::World;
use crate::servers::{Address, Server, free_port, tcp_url, unix_url};
use crate::setup::CLIENT_CORE;
use crate::sides::probes;
use crate::table::{Goal, Section, Table, Unit};

const GOAL: Option<Goal> = Some(Goal::Median(1.15));
const KINDS: [(&str, &str, Section); 2] = [
    (
        "kept",
        "300",
        Section { floor: "a raw kept round trip, same server", unit: Unit::Nanoseconds },
    ),
    (
        "forked",
        "100",
        Section { floor: "a raw connect, round trip, close, same server", unit: Unit::Nanoseconds },
    ),
];
const LOOKED: Section = Section {
    floor: "open, read 1 KiB, close of the program, and a raw kept round trip, same server",
    unit: Unit::Nanoseconds,
};
const REFUSED: Section = Section { floor: "a raw refused connect", unit: Unit::Nanoseconds };

pub fn measure(world: &World<'_>, table: &mut Table) -> Result<(), String> {
    for kind in KINDS {
        asked(world, &world.servers.here, "one core", kind, GOAL, table)?;
        asked(world, &world.servers.beside, "two cores", kind, GOAL, table)?;
        asked(world, &world.servers.echo, "echo server", kind, None, table)?;
    }
    looked(world, table)?;
    unreachable(world, table)
}

/// The library reads the program's head before it asks: the cost of both by plain calls.
fn looked(world: &World<'_>, table: &mut Table) -> Result<(), String> {
    for address in world.servers.here.addresses() {
        table.row(format!("check, kept, {}, and look", address.transport), LOOKED, None, || {
            let ours = || {
                let mut command = world.setup.guarded(CLIENT_CORE, "check", &address.url);
                command.args(["kept", "300"]);
                command
            };
            let floor = || {
                let mut command = world.setup.bare(CLIENT_CORE, "raw");
                command.args(["looked", "300", &address.plain]).arg(&world.servers.request);
                command
            };
            probes(ours, floor)
        })?;
    }
    Ok(())
}

fn asked(
    world: &World<'_>,
    server: &Server,
    place: &str,
    (kind, count, section): (&str, &str, Section),
    goal: Option<Goal>,
    table: &mut Table,
) -> Result<(), String> {
    for address in server.addresses() {
        let name = format!("check, {kind}, {}, {place}", address.transport);
        table.row(name, section, goal, || {
            let ours = || {
                let mut command = world.setup.guarded(CLIENT_CORE, "check", &address.url);
                command.args([kind, count]);
                command
            };
            let floor = || {
                let mut command = world.setup.bare(CLIENT_CORE, "raw");
                command.args([kind, count, &address.plain]).arg(&world.servers.request);
                command
            };
            probes(ours, floor)
        })?;
    }
    Ok(())
}

fn unreachable(world: &World<'_>, table: &mut Table) -> Result<(), String> {
    let socket = world.setup.path("nobody.sock");
    let port = free_port()?;
    for Address { transport, url, plain } in [
        Address { transport: "Unix", url: unix_url(&socket), plain: socket.display().to_string() },
        Address { transport: "TCP", url: tcp_url(port), plain: port.to_string() },
    ] {
        table.row(format!("check, no server, {transport}"), REFUSED, GOAL, || {
            let ours = || {
                let mut command = world.setup.guarded(CLIENT_CORE, "check", &url);
                command.args(["kept", "300"]);
                command
            };
            let floor = || {
                let mut command = world.setup.bare(CLIENT_CORE, "raw");
                command.args(["refused", "300", &plain]);
                command
            };
            probes(ours, floor)
        })?;
    }
    Ok(())
}
