//! What being guarded costs: every row is measured side by side with what the machine's
//! own sockets and loader cost, in one run, and printed as a ratio with its goal.
//!
//! `make bench` builds everything and calls this. `BENCH_PEERS` may name other preload
//! libraries to compare with; `BENCH_JSON` where to write the figures.

mod figures;
mod machine;
mod rows;
mod setup;

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
    let noise = machine::noise();
    println!("{noise}");
    let rows = rows::measure(&setup)?;
    figures::print_table(&rows);
    let path = std::env::var("BENCH_JSON").unwrap_or_else(|_| "target/bench.json".into());
    figures::write_json(&rows, &noise, &path)?;
    println!("\nwritten to {path}");
    Ok(())
}
