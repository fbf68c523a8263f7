//! The cost of a sealed run (Linux).

use std::process::Command;

use super::World;
use crate::setup::CLIENT_CORE;
use crate::sides::probes;
use crate::table::{Goal, Section, Table, Unit};

const COUNT: &str = "60";
const BARE: Section = Section { floor: "a bare spawn", unit: Unit::Nanoseconds };
const NOTIFIER: Section = Section {
    floor: "a spawn that the kernel asks a bare C program about",
    unit: Unit::Nanoseconds,
};
const AT_ONCE: Section =
    Section { floor: "1,000 bare programs at once, each", unit: Unit::Nanoseconds };

pub fn measure(world: &World<'_>, table: &mut Table) -> Result<(), String> {
    let setup = world.setup;
    let alone = |words: &[&str]| {
        let mut command = setup.bare(CLIENT_CORE, words[0]);
        command.args(&words[1..]);
        command
    };
    let sealed = |words: &[&str]| -> Command {
        let mut command = Command::new(&setup.rampart);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("BENCH_CORE", CLIENT_CORE);
        command.args(["preload", "--seal", "--policy"]).arg(setup.policy()).arg("--");
        command.arg(setup.path(words[0])).args(&words[1..]);
        command.env("RAMPART_HOME", setup.path("home")).env("RAMPART_LIBRARY", &setup.library);
        command
    };
    let noted = || {
        let mut command = setup.bare(CLIENT_CORE, "notifier");
        command.arg(setup.path("spawn-static")).arg(COUNT);
        command
    };
    let spawn = ["spawn", COUNT];
    table.row("spawn in a sealed run", BARE, Some(Goal::Median(1.2)), || {
        probes(|| sealed(&spawn), || alone(&spawn))
    })?;
    // Neither side has the library.
    table.row("spawn in a sealed run, static", NOTIFIER, Some(Goal::Median(1.05)), || {
        probes(|| sealed(&["spawn-static", COUNT]), noted)
    })?;
    table.row("rampart preload --seal, its own server, and true", BARE, None, || {
        let preload = || {
            let mut command = setup.bare(CLIENT_CORE, "spawn");
            command.arg("10").arg(&setup.rampart).args(["preload", "--seal", "--policy"]);
            command.arg(setup.policy()).args(["--", "/bin/true"]);
            command.env("RAMPART_HOME", setup.path("home"));
            command.env("RAMPART_LIBRARY", &setup.library);
            command
        };
        probes(preload, || alone(&spawn))
    })?;
    let burst = ["burst", "1", "1000"];
    table.row("1,000 programs at once in a sealed run, each", AT_ONCE, None, || {
        probes(|| sealed(&burst), || alone(&burst))
    })
}
