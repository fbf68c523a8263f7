//! The rows of the table. Each takes turns with its floor, batch by batch, so that what
//! disturbs the machine disturbs both.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use rampart_policy::{Call, PolicySet};

use crate::figures::{Measure, Row, Samples};
use crate::setup::{
    CLIENT_CORE, OTHER_CORE, Server, Setup, free_port, record_answer, tcp_url, unix_url,
};

/// Batches of each side of a row.
const ROUNDS: usize = 12;

/// Measures everything.
pub fn measure(setup: &Setup) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let server = setup.serve(CLIENT_CORE)?;
    let beside = setup.serve(OTHER_CORE)?;
    let request = setup.record_request()?;
    let request_file = setup.path("request");
    std::fs::write(&request_file, &request).map_err(|error| error.to_string())?;
    let answer_file = setup.path("answer");
    std::fs::write(&answer_file, record_answer(&server, &request)?)
        .map_err(|error| error.to_string())?;

    spawns(setup, &server, &mut rows)?;
    for (where_, server) in [("one core", &server), ("two cores", &beside)] {
        checks(setup, server, where_, &request_file, &mut rows)?;
    }
    unreachable(setup, &mut rows)?;
    let echo = setup.echo(CLIENT_CORE, &answer_file)?;
    answers(setup, &server, &echo, &request_file, &mut rows)?;
    policies(&mut rows)?;
    memory(setup, &server, &mut rows)?;
    numbers(setup, &server, &mut rows)?;
    Ok(rows)
}

/// Runs the two commands by turns; gives the samples of each.
fn side_by_side(
    mut ours: impl FnMut() -> Command,
    mut floor: impl FnMut() -> Command,
) -> Result<(Samples, Samples), String> {
    let (mut our_samples, mut floor_samples) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_samples.extend(batch(ours())?);
        floor_samples.extend(batch(floor())?);
    }
    Ok((Samples::new(our_samples), Samples::new(floor_samples)))
}

/// Runs a probe; gives its samples but the first few, in which everything is cold.
fn batch(mut command: Command) -> Result<Vec<f64>, String> {
    const COLD: usize = 3;
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {why}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let samples: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let cold = if samples.len() > COLD { COLD } else { 0 };
    Ok(samples[cold..].to_vec())
}

fn spawns(setup: &Setup, server: &Server, rows: &mut Vec<Row>) -> Result<(), String> {
    const COUNT: &str = "60";
    let bare = || {
        let mut command = setup.bare(CLIENT_CORE, "spawn");
        command.arg(COUNT);
        command
    };
    let preloaded = |library: &PathBuf| {
        let mut command = bare();
        command.env("LD_PRELOAD", library);
        command
    };
    let mut push = |name: &str, samples: (Samples, Samples), floor_name, goal| {
        let (ours, floor) = samples;
        let name = name.to_owned();
        rows.push(Row { name, ours, floor_name, floor, measure: Measure::Median, goal });
    };
    let disabled = || {
        let mut command = preloaded(&setup.library);
        command.env("RAMPART_MODE", "disabled");
        command
    };
    let empty = || preloaded(&setup.empty_library);
    push("spawn, disabled", side_by_side(disabled, empty)?, "an empty library", Some(1.0));
    let guarded = |url: String| {
        let mut command = setup.guarded(CLIENT_CORE, "spawn", &url);
        command.arg(COUNT);
        command
    };
    let unix = || guarded(unix_url(&server.socket));
    let tcp = || guarded(tcp_url(server.port));
    push("spawn, guarded, Unix socket", side_by_side(unix, bare)?, "a bare spawn", Some(1.35));
    push("spawn, guarded, TCP", side_by_side(tcp, bare)?, "a bare spawn", None);
    for peer in std::env::var("BENCH_PEERS").unwrap_or_default().split_whitespace() {
        let peer_path = PathBuf::from(peer);
        let guarded = || {
            let mut command = guarded(tcp_url(server.port));
            command.env("LD_PRELOAD", &peer_path);
            command
        };
        push(&format!("spawn, {peer}"), side_by_side(guarded, bare)?, "a bare spawn", None);
    }
    Ok(())
}

fn checks(
    setup: &Setup,
    server: &Server,
    where_: &str,
    request: &PathBuf,
    rows: &mut Vec<Row>,
) -> Result<(), String> {
    let socket = server.socket.display().to_string();
    let port = server.port.to_string();
    for (transport, url, address) in
        [("Unix socket", unix_url(&server.socket), &socket), ("TCP", tcp_url(server.port), &port)]
    {
        for (kind, count, floor_name) in [
            ("kept", "300", "a raw kept round trip"),
            ("forked", "100", "raw connect, round trip, close"),
        ] {
            let ours = || {
                let mut command = setup.guarded(CLIENT_CORE, "check", &url);
                command.args([kind, count]);
                command
            };
            let floor = || {
                let mut command = setup.bare(CLIENT_CORE, "raw");
                command.args([kind, count, address]).arg(request);
                command
            };
            let (ours, floor) = side_by_side(ours, floor)?;
            rows.push(Row {
                name: format!("check, {kind}, {transport}, {where_}"),
                ours,
                floor_name,
                floor,
                measure: Measure::Median,
                goal: Some(1.15),
            });
        }
    }
    Ok(())
}

fn unreachable(setup: &Setup, rows: &mut Vec<Row>) -> Result<(), String> {
    let socket = setup.path("nobody.sock");
    let port = free_port()?;
    for (transport, url, address) in [
        ("Unix path", unix_url(&socket), socket.display().to_string()),
        ("TCP", tcp_url(port), port.to_string()),
    ] {
        let ours = || {
            let mut command = setup.guarded(CLIENT_CORE, "check", &url);
            command.args(["kept", "300"]);
            command
        };
        let floor = || {
            let mut command = setup.bare(CLIENT_CORE, "raw");
            command.args(["refused", "300", &address]);
            command
        };
        let (ours, floor) = side_by_side(ours, floor)?;
        rows.push(Row {
            name: format!("check, no server, {transport}"),
            ours,
            floor_name: "a raw refused connect",
            floor,
            measure: Measure::Median,
            goal: Some(1.15),
        });
    }
    Ok(())
}

fn answers(
    setup: &Setup,
    server: &Server,
    echo: &Server,
    request: &PathBuf,
    rows: &mut Vec<Row>,
) -> Result<(), String> {
    let raw = |address: String| {
        let mut command = setup.bare(CLIENT_CORE, "raw");
        command.args(["kept", "500", &address]).arg(request);
        command
    };
    for (transport, ours, floor) in [
        ("Unix socket", server.socket.display().to_string(), echo.socket.display().to_string()),
        ("TCP", server.port.to_string(), echo.port.to_string()),
    ] {
        let (ours, floor) = side_by_side(|| raw(ours.clone()), || raw(floor.clone()))?;
        for (measure, word) in [(Measure::Median, "median"), (Measure::P99, "p99")] {
            rows.push(Row {
                name: format!("embedded server's answer, {transport}, {word}"),
                ours: ours.clone(),
                floor_name: "an echo server in C",
                floor: floor.clone(),
                measure,
                goal: Some(1.3),
            });
        }
    }
    Ok(())
}

fn policies(rows: &mut Vec<Row>) -> Result<(), String> {
    let large = policy_of(1000)?;
    let small = policy_of(50)?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.extend(evaluations(&large));
        floor.extend(evaluations(&small));
    }
    rows.push(Row {
        name: "evaluation of 1,000 rules".into(),
        ours: Samples::new(ours),
        floor_name: "of 50 rules",
        floor: Samples::new(floor),
        measure: Measure::Median,
        goal: Some(2.0),
    });
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

fn memory(setup: &Setup, server: &Server, rows: &mut Vec<Row>) -> Result<(), String> {
    let ours = || setup.guarded(CLIENT_CORE, "idle", &unix_url(&server.socket));
    let (ours, floor) = side_by_side(ours, || setup.bare(CLIENT_CORE, "idle"))?;
    rows.push(Row {
        name: "private memory of an idle process".into(),
        ours,
        floor_name: "without the library",
        floor,
        measure: Measure::BytesAdded,
        goal: Some(64.0 * 1024.0),
    });
    Ok(())
}

fn numbers(setup: &Setup, server: &Server, rows: &mut Vec<Row>) -> Result<(), String> {
    let ours = || {
        let mut command = setup.guarded(CLIENT_CORE, "number", &unix_url(&server.socket));
        command.arg("100");
        command
    };
    let floor = || {
        let mut command = setup.bare(CLIENT_CORE, "number");
        command.arg("100");
        command
    };
    let (ours, floor) = side_by_side(ours, floor)?;
    rows.push(Row {
        name: "1,000 times syscall(SYS_getpid)".into(),
        ours,
        floor_name: "without the library",
        floor,
        measure: Measure::Median,
        goal: Some(1.1),
    });
    Ok(())
}
