//! How fast the server answers, beside an echo server in C.

use std::process::Command;

use super::World;
use crate::servers::Address;
use crate::setup::CLIENT_CORE;
use crate::sides::{Sides, probes};
use crate::table::{Goal, Section, Table, Unit};

const ECHO: Section = Section { floor: "an echo server in C", unit: Unit::Nanoseconds };
const RATE: Section = Section { floor: "an echo server in C", unit: Unit::PerSecond };
const UNSYNCED: Section =
    Section { floor: "the same without --audit-sync", unit: Unit::Nanoseconds };
/// Round trips of one client in a batch; several clients make about as many together.
const TRIPS: u32 = 500;

pub fn measure(world: &World<'_>, table: &mut Table) -> Result<(), String> {
    for kind in ["kept", "fresh"] {
        for clients in [1, 8, 64] {
            load(world, kind, clients, table)?;
        }
    }
    table.row("answer, Unix, kept, --audit-sync", UNSYNCED, None, || {
        let synced =
            world.setup.serve(CLIENT_CORE, "synced", &world.setup.policy(), &["--audit-sync"])?;
        let [ours, _] = synced.addresses();
        let [floor, _] = world.servers.here.addresses();
        probes(|| raw(world, "kept", 1, 50, &ours), || raw(world, "kept", 1, 50, &floor))
    })
}

fn load(world: &World<'_>, kind: &str, clients: u32, table: &mut Table) -> Result<(), String> {
    let trips = (2 * TRIPS / clients).min(TRIPS);
    for (ours, floor) in
        world.servers.here.addresses().into_iter().zip(world.servers.echo.addresses())
    {
        let measure = || -> Result<Sides, String> {
            probes(
                || raw(world, kind, clients, trips, &ours),
                || raw(world, kind, clients, trips, &floor),
            )
        };
        let name = format!("{}, {kind}, clients: {clients}", ours.transport);
        let goal = (kind == "kept" && clients == 1).then_some(Goal::Both(1.3));
        let mut rates = None;
        table.row(format!("answer, {name}"), ECHO, goal, || {
            let sides = measure()?;
            rates = Some(sides.per_second(clients));
            Ok(sides)
        })?;
        table.row(format!("throughput, {name}"), RATE, None, || match rates {
            Some(rates) => Ok(rates),
            None => Ok(measure()?.per_second(clients)),
        })?;
    }
    Ok(())
}

fn raw(world: &World<'_>, kind: &str, clients: u32, trips: u32, address: &Address) -> Command {
    let mut command = world.setup.bare(CLIENT_CORE, "raw");
    command.args([kind, &trips.to_string(), &address.plain]).arg(&world.servers.request);
    command.arg(clients.to_string());
    command
}
