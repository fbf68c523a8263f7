//! The cost of the library to a process that starts nothing.

use super::World;
use crate::setup::CLIENT_CORE;
use crate::sides::probes;
use crate::table::{Goal, Section, Table, Unit};

const CALL: Section = Section { floor: "the same without the library", unit: Unit::Nanoseconds };
const MEMORY: Section = Section { floor: "one without the library", unit: Unit::Bytes };
const MEMORY_GOAL: Goal = Goal::Added(64.0 * 1024.0);

pub fn measure(world: &World<'_>, table: &mut Table) -> Result<(), String> {
    let setup = world.setup;
    let [unix, _] = world.servers.here.addresses();
    table.row("1,000 times syscall(SYS_getpid)", CALL, Some(Goal::Median(1.1)), || {
        let ours = || {
            let mut command = setup.guarded(CLIENT_CORE, "number", &unix.url);
            command.arg("100");
            command
        };
        let floor = || {
            let mut command = setup.bare(CLIENT_CORE, "number");
            command.arg("100");
            command
        };
        probes(ours, floor)
    })?;
    table.row("private memory of an idle process", MEMORY, Some(MEMORY_GOAL), || {
        probes(|| setup.guarded(CLIENT_CORE, "idle", &unix.url), || setup.bare(CLIENT_CORE, "idle"))
    })
}
