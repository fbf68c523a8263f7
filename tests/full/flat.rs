//! A process that starts thousands of programs does not grow.

use std::time::Instant;

use scripted_server::Server;
use tempfile::TempDir;

use crate::matrix::{cells, runs_of};
use crate::probes::{self, Linked};
use crate::support::{Compiler, Run, Sandbox};

/// How many programs are started by each function in each kind of child.
const TIMES: usize = 2000;
/// A few pages that the C library may use.
const SLACK_KIB: i64 = 64;

/// The numbers in `failures N mappings N size N KiB resident N KiB`.
fn growth(said: &str) -> Vec<i64> {
    said.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn check(compiler: Compiler, times: usize, options: &[&str], wanted: impl Fn(&str) -> bool) {
    if !probes::has(compiler) {
        return;
    }
    let built = TempDir::new().expect("a temporary directory");
    let flat = probes::compiled(built.path(), "flat", compiler, Linked::Dynamically);
    let sandbox = Sandbox::new();
    let bin = sandbox.path("bin");
    let nothing = probes::compiled(&bin, "nothing", Compiler::System, Linked::Statically);
    let server = Server::allowing();
    let text = |path: std::path::PathBuf| path.to_str().expect("text").to_owned();
    let (flat, nothing) = (text(flat), text(nothing));
    let begun = Instant::now();
    let mut grown = Vec::new();
    for (cell, family, _) in cells().iter().filter(|(cell, ..)| wanted(cell)) {
        let times = (times / runs_of(*family)).to_string();
        let mut words = vec![&*flat, &*nothing, "nothing", cell, &*times];
        words.extend(options);
        let run = Run::guarded(&sandbox, &server.url, &words).finish().success();
        match growth(&run.stdout)[..] {
            [0, 0, size, resident] if size <= SLACK_KIB && resident <= SLACK_KIB => {}
            _ => grown.push(format!("{cell}: {}{}", run.stdout, run.stderr)),
        }
        // Frees the memory of very many questions.
        let _ = server.take_requests();
    }
    println!("{compiler:?}: {:.1?}", begun.elapsed());
    assert!(grown.is_empty(), "in {times} calls:\n{}", grown.concat());
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn two_thousand_calls_leave_nothing_behind() {
    check(Compiler::System, TIMES, &[], |_| true);
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn a_few_hundred_calls_leave_nothing_behind_in_a_musl_program() {
    check(Compiler::Musl, TIMES / 5, &[], |_| true);
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn earlier_calls_of_another_thread_make_no_difference() {
    check(Compiler::System, TIMES / 5, &["after-a-thread"], |cell| cell.starts_with("execve/"));
}
