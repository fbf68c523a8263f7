//! The rows of the table.

mod answers;
mod checks;
mod crowds;
mod hook;
mod policies;
mod sealed;
mod spawns;

use crate::servers::Servers;
use crate::setup::Setup;
use crate::table::Table;

/// Everything that rows are measured with.
pub struct World<'a> {
    pub setup: &'a Setup,
    pub servers: Servers,
}

/// Measures all wanted rows.
///
/// # Errors
/// One of them could not be measured.
pub fn measure(setup: &Setup, table: &mut Table) -> Result<(), String> {
    let world = World { setup, servers: Servers::start(setup)? };
    spawns::measure(&world, table)?;
    sealed::measure(&world, table)?;
    checks::measure(&world, table)?;
    hook::measure(&world, table)?;
    answers::measure(&world, table)?;
    crowds::measure(&world, table)?;
    policies::measure(table)
}
