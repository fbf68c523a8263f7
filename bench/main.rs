//! The cost of being guarded. Every row is measured side by side with a floor, what the machine's
//! own sockets and loader cost, in one run, and printed as a ratio with its goal.
//!
//! `make bench` builds everything and calls this. `BENCH_ONLY` measures only the rows whose names
//! contain that text; `BENCH_PEERS` names other preload libraries to compare with; `BENCH_JSON`
//! says where to write the figures.

mod crowd;
mod machine;
mod rows;
mod samples;
mod servers;
mod setup;
mod sides;
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let setup = setup::Setup::new()?;
    let before = machine::noise();
    println!("{before}");
    let mut table = table::Table::new(std::env::var("BENCH_ONLY").unwrap_or_default());
    rows::measure(&setup, &mut table)?;
    let after = machine::noise();
    table.print();
    println!("\nbefore: {before}\nafter:  {after}");
    let path = std::env::var("BENCH_JSON").unwrap_or_else(|_| "target/bench.json".into());
    table.write_json(&[before.to_string(), after.to_string()], &path)?;
    println!("written to {path}");
    Ok(())
}
