//! The engine against verdicts and labels that others have given. The data is read from
//! `../shared` beside the repository (or where `RAMPART_SHARED` says), and a test says so
//! where it is not there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rampart_policy::{Action, Call, PolicySet};
use serde::Deserialize;

const HOME: &str = "/home/dev";

#[derive(Deserialize)]
struct Verdicts {
    command: String,
    verdict: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Labelled {
    command: String,
    expect: String,
    cwd: Option<String>,
    #[serde(default)]
    kind: Option<String>,
}

fn shared(name: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
    let root = std::env::var_os("RAMPART_SHARED").map_or_else(|| beside.into(), PathBuf::from);
    let path = root.join("data").join(name);
    if !path.exists() {
        println!("skipped: there is no {}", path.display());
        return None;
    }
    Some(path)
}

fn lines<T: for<'de> Deserialize<'de>>(path: &Path) -> Vec<T> {
    let text = std::fs::read_to_string(path).expect("the data is there");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of data")).collect()
}

fn action(name: &str) -> Action {
    match name {
        "allow" => Action::Allow,
        "watch" => Action::Watch,
        "ask" => Action::Ask,
        _ => Action::Deny,
    }
}

fn files(folder: &Path) -> Vec<(String, PolicySet)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the policies are there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(entry.path()).expect("a policy file");
        let policies = PolicySet::parse(&text, &name).unwrap_or_else(|error| panic!("{error}"));
        files.push((name, policies));
    }
    assert_eq!(files.len(), 26);
    files
}

#[test]
fn no_verdict_is_looser_than_that_of_the_other_server() {
    let Some(upstream) = shared("upstream") else { return };
    let cases: Vec<Verdicts> = lines(&upstream.join("verdicts.jsonl"));
    let (mut same, mut stricter, mut looser) = (0, Vec::new(), Vec::new());
    for (name, policies) in files(&upstream.join("policies")) {
        for case in &cases {
            let theirs = action(&case.verdict[&name]);
            let call = Call {
                agent: "claude-code",
                session: "s",
                command: &case.command,
                home: Some(HOME),
                ..Call::default()
            };
            let ours = policies.evaluate(&call);
            let line = || {
                let why =
                    ours.because.as_ref().map(|why| format!("{} ~ {}", why.pattern, why.part));
                format!("{name}: {theirs:?} -> {:?} {:?} {why:?}", ours.action, case.command)
            };
            match ours.action.cmp(&theirs) {
                std::cmp::Ordering::Equal => same += 1,
                std::cmp::Ordering::Greater => stricter.push(line()),
                std::cmp::Ordering::Less => looser.push(line()),
            }
        }
    }
    println!("{same} the same, {} stricter, {} looser", stricter.len(), looser.len());
    if std::env::var_os("SHOW").is_some() {
        for line in stricter {
            println!("STRICTER {line}");
        }
    }
    assert!(looser.is_empty(), "{looser:#?}");
}

#[test]
fn labelled_lines_get_the_verdict_that_they_are_labelled_with() {
    let Some(folder) = shared("policy") else { return };
    let policies = PolicySet::starter();
    let mut times: Vec<(Duration, String)> = Vec::new();
    for (file, wanted) in [("harm", "deny"), ("harmless", "allow")] {
        let (mut right, mut all) = (0, 0);
        let mut wrong = Vec::new();
        for case in lines::<Labelled>(&folder.join(format!("{file}.jsonl"))) {
            let call = Call {
                agent: "preload",
                session: "s",
                command: &case.command,
                cwd: case.cwd.as_deref(),
                home: Some(HOME),
                ..Call::default()
            };
            let begun = Instant::now();
            let decision = policies.evaluate(&call);
            times.push((begun.elapsed(), case.command.chars().take(60).collect()));
            if case.expect != wanted {
                continue;
            }
            all += 1;
            if decision.allowed() == (wanted == "allow") {
                right += 1;
            } else {
                let why = decision.because.map(|why| format!("{} ~ {}", why.pattern, why.part));
                wrong.push(format!(
                    "{:?} {:?} {why:?} {:?}",
                    case.kind, case.command, decision.unparsed
                ));
            }
        }
        println!("{file}: {right} of {all} as labelled");
        if std::env::var_os("SHOW").is_some() {
            for line in wrong {
                println!("WRONG {file} {line}");
            }
        }
    }
    times.sort();
    let at = |part: usize| &times[(times.len() - 1) * part / 1000];
    println!("p50 {:?} p99 {:?} max {:?}", at(500).0, at(990).0, at(1000));
}
