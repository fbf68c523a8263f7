//! How long a verdict takes: by kind of line, and by number of rules.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rampart_policy::{Call, PolicySet};

const LINES: &[(&str, &str)] = &[
    ("plain", "git status"),
    ("plain with arguments", "cargo test --workspace --all-features -p rampart-policy"),
    ("a file removed", "rm -f target/debug/build.log"),
    ("a quoted word", "git commit -m 'say what this is for'"),
    ("sh -c", "sh -c 'cd /srv/app && git status | head -n 5 > out.txt; echo done'"),
    ("sh -c in short", "sh -c 'make test 2>&1 | tail -n 20'"),
    ("refused", "rm -rf /"),
];

fn call(command: &str) -> Call<'_> {
    Call { agent: "preload", session: "bench", command, ..Call::default() }
}

fn by_line(criterion: &mut Criterion) {
    let policies = PolicySet::starter();
    let mut group = criterion.benchmark_group("starter policy");
    for (name, command) in LINES {
        group.bench_function(*name, |bench| {
            bench.iter(|| policies.evaluate(&call(black_box(command))));
        });
    }
    let here = Call { cwd: Some("/home/user/project"), ..call("git add src/lib.rs") };
    group.bench_function("with a directory", |bench| {
        bench.iter(|| policies.evaluate(black_box(&here)));
    });
    group.finish();
}

/// A policy of `count` rules, each with patterns of its own.
fn rules(count: usize) -> PolicySet {
    let mut source = "version: '1'\ndefault_action: allow\npolicies:\n".to_string();
    for number in 0..count {
        let written = writeln!(
            source,
            "- name: p{number}\n  rules:\n  - action: deny\n    when:\n      command_matches: \
             ['tool-{number} --remove *', '*secret-{number}*', 'rm -rf /srv/{number}/*']\n    \
             message: no"
        );
        assert!(written.is_ok());
    }
    PolicySet::parse(&source, "bench.yaml").expect("the benchmark's own policy is right")
}

fn by_rules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("number of rules");
    for count in [50, 1_000, 10_000] {
        let policies = rules(count);
        for (name, command) in &LINES[..2] {
            group.bench_function(format!("{count}, {name}"), |bench| {
                bench.iter(|| policies.evaluate(&call(black_box(command))));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, by_line, by_rules);
criterion_main!(benches);
