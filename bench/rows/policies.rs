//! How the time of a verdict, and of reading a policy, grows with the policy.

use std::fmt::Write as _;
use std::time::Instant;

use rampart_policy::{Call, PolicySet};

use crate::sides::{ROUNDS, by_turns};
use crate::table::{Goal, Section, Table, Unit};

const EVALUATION: Section = Section { floor: "an evaluation of 50 rules", unit: Unit::Nanoseconds };
const READING: Section = Section { floor: "the reading of 50 rules", unit: Unit::Nanoseconds };
const SIZES: [(&str, usize); 2] = [("1,000", 1_000), ("10,000", 10_000)];

pub fn measure(table: &mut Table) -> Result<(), String> {
    for (name, rules) in SIZES {
        table.row(
            format!("evaluation of {name} rules"),
            EVALUATION,
            Some(Goal::Median(2.0)),
            || {
                let (large, small) = (read(&text_of(rules))?, read(&text_of(50))?);
                by_turns(ROUNDS, || Ok(evaluations(&large)), || Ok(evaluations(&small)))
            },
        )?;
    }
    for (name, rules) in SIZES {
        table.row(format!("reading of {name} rules"), READING, None, || {
            let (large, small) = (text_of(rules), text_of(50));
            by_turns(3, || reading(&large), || reading(&small))
        })?;
    }
    Ok(())
}

/// A policy with `count` rules.
pub fn text_of(rules: usize) -> String {
    let mut text = String::from(
        "version: \"1\"\npolicies:\n  - name: many\n    match: {tool: exec}\n    rules:\n",
    );
    for rule in 0..rules {
        let pattern = format!("tool-{rule} --destroy *");
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "      - {{action: deny, when: {{command_matches: [\"{pattern}\"]}}}}");
    }
    text
}

fn read(text: &str) -> Result<PolicySet, String> {
    let read = PolicySet::parse(text, "bench").map_err(|error| error.to_string())?;
    read.compile();
    Ok(read)
}

fn reading(text: &str) -> Result<Vec<f64>, String> {
    let begun = Instant::now();
    std::hint::black_box(read(text)?);
    Ok(vec![begun.elapsed().as_secs_f64() * 1e9])
}

fn evaluations(policy: &PolicySet) -> Vec<f64> {
    const EACH: u32 = 100;
    let call = Call {
        agent: "bench",
        session: "s",
        command: "gcc -O2 -Wall -c -o main.o main.c",
        cwd: Some("/work"),
        coverage: Some("full"),
        ..Call::default()
    };
    let time = || {
        let begun = Instant::now();
        for _ in 0..EACH {
            std::hint::black_box(policy.evaluate(std::hint::black_box(&call)));
        }
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(EACH)
    };
    (0..50).map(|_| time()).collect()
}
