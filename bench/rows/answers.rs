//! How fast the server answers, beside an echo server in C.

use super::World;
use crate::setup::CLIENT_CORE;
use crate::sides::probes;
use crate::table::{Goal, Section, Table, Unit};

const ECHO: Section = Section { floor: "an echo server in C", unit: Unit::Nanoseconds };

pub fn measure(world: &World<'_>, table: &mut Table) -> Result<(), String> {
    let raw = |address: &str| {
        let mut command = world.setup.bare(CLIENT_CORE, "raw");
        command.args(["kept", "500", address]).arg(&world.servers.request);
        command
    };
    for (ours, floor) in
        world.servers.here.addresses().into_iter().zip(world.servers.echo.addresses())
    {
        let name = format!("answer, {}, kept", ours.transport);
        table.row(name, ECHO, Some(Goal::Both(1.3)), || {
            probes(|| raw(&ours.plain), || raw(&floor.plain))
        })?;
    }
    Ok(())
}
