//! How the time of a verdict grows with the policy.

use std::fmt::Write as _;
use std::time::Instant;

use rampart_policy::{Call, PolicySet};

use crate::sides::by_turns;
use crate::table::{Goal, Section, Table, Unit};

const SMALL: Section = Section { floor: "evaluation of 50 rules", unit: Unit::Nanoseconds };

pub fn measure(table: &mut Table) -> Result<(), String> {
    for (name, rules) in
        [("evaluation of 1,000 rules", 1_000), ("evaluation of 10,000 rules", 10_000)]
    {
        table.row(name, SMALL, Some(Goal::Median(2.0)), || {
            let (large, small) = (policy_of(rules)?, policy_of(50)?);
            by_turns(|| Ok(evaluations(&large)), || Ok(evaluations(&small)))
        })?;
    }
    Ok(())
}

fn policy_of(rules: usize) -> Result<PolicySet, String> {
    let mut text = String::from(
        "version: \"1\"\npolicies:\n  - name: many\n    match: {tool: exec}\n    rules:\n",
    );
    for rule in 0..rules {
        let pattern = format!("tool-{rule} --destroy *");
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "      - {{action: deny, when: {{command_matches: [\"{pattern}\"]}}}}");
    }
    PolicySet::parse(&text, "bench").map_err(|error| error.to_string())
}

fn evaluations(policy: &PolicySet) -> Vec<f64> {
    const EACH: u32 = 100;
    let call = Call {
        agent: "bench",
        session: "s",
        command: "gcc -O2 -Wall -c -o main.o main.c",
        cwd: Some("/work"),
        coverage: Some("full"),
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
