//! Runs the two sides of a row alternately, batch by batch, so that disturbances affect both.

use std::process::Command;

use crate::samples::Samples;

/// Batches of each side of most rows.
pub const ROUNDS: usize = 12;
/// The first samples of a probe, with cold caches, do not count.
const COLD: usize = 3;

/// The samples of both sides of a row.
pub struct Sides {
    pub ours: Samples,
    pub floor: Samples,
}

impl Sides {
    /// One figure for each side.
    pub fn of(ours: f64, floor: f64) -> Self {
        Self { ours: Samples::new(&[vec![ours]]), floor: Samples::new(&[vec![floor]]) }
    }

    /// Answers a second, from the times that so many clients waited for each answer.
    pub fn per_second(&self, clients: u32) -> Self {
        Self { ours: self.ours.per_second(clients), floor: self.floor.per_second(clients) }
    }
}

/// Measures both sides alternately.
///
/// # Errors
/// One of them could not be measured.
pub fn by_turns(
    rounds: usize,
    mut ours: impl FnMut() -> Result<Vec<f64>, String>,
    mut floor: impl FnMut() -> Result<Vec<f64>, String>,
) -> Result<Sides, String> {
    let (mut our_rounds, mut floor_rounds) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        our_rounds.push(ours()?);
        floor_rounds.push(floor()?);
    }
    Ok(Sides { ours: Samples::new(&our_rounds), floor: Samples::new(&floor_rounds) })
}

/// Runs two probes alternately.
///
/// # Errors
/// One of them failed.
pub fn probes(
    mut ours: impl FnMut() -> Command,
    mut floor: impl FnMut() -> Command,
) -> Result<Sides, String> {
    by_turns(ROUNDS, || batch(ours()), || batch(floor()))
}

/// Runs a probe, and returns the samples that it prints.
fn batch(mut command: Command) -> Result<Vec<f64>, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {why}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut samples: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    if samples.len() > COLD {
        samples.drain(..COLD);
    }
    Ok(samples)
}
