//! Each function that starts a program, in each kind of child, under each behaviour of the server,
//! in programs of both C libraries.
//!
//! One probe process makes all calls under one behaviour. Each call has a name of its own, which
//! the started program writes into its mark and which is in the question, so that each run and each
//! question belongs to one call.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use scripted_server::{ClosedPort, Server, Transport};
use tempfile::TempDir;

use crate::probes::{self, Linked};
use crate::support::{Compiler, Run, Sandbox, copy_program};
use crate::ways::{self, Behaviour, CHILDREN, Family, behaviours, impossible};

/// The functions of the table that the probe calls under all behaviours. The others do the same by
/// other names for the program or the child, which `tests/guarded/hooks.rs` goes through.
const FUNCTIONS: [&str; 13] = [
    "execve",
    "execv",
    "execvp",
    "execvpe",
    "execl",
    "execlp",
    "execle",
    "fexecve",
    "execveat",
    "posix_spawn",
    "posix_spawnp",
    "system",
    "popen",
];

/// The cells of the matrix, in the probe's notation.
pub fn cells() -> Vec<(String, Family, &'static str)> {
    let functions = ways::functions().iter().filter(|it| FUNCTIONS.contains(&it.name));
    let all = functions.flat_map(|it| CHILDREN.map(|child| (it, child)));
    all.filter(|(function, child)| impossible(function.family, child).is_none())
        .map(|(function, child)| (format!("{}/{child}", function.name), function.family, child))
        .collect()
}

/// A probe, and the program that it starts.
struct Stage {
    sandbox: Sandbox,
    probe: PathBuf,
    _built: TempDir,
}

/// The results of all calls.
struct Report {
    /// The probe's line for a cell in a round.
    lines: BTreeMap<String, String>,
    /// The marks of the programs that ran, sorted.
    marks: Vec<String>,
    stderr: String,
    /// How many bytes of the small stack a function used.
    depths: BTreeMap<String, usize>,
}

impl Stage {
    fn new(parent: Compiler, child: Compiler) -> Self {
        let built = TempDir::new().expect("a temporary directory");
        let compiled =
            |name, compiler| probes::compiled(built.path(), name, compiler, Linked::Dynamically);
        let probe = compiled("matrix", parent);
        let sandbox = Sandbox::new();
        // A copy, not a link: it finds the marks by its own path.
        copy_program(compiled("arrival", child), sandbox.path("bin/arrival"));
        Self { sandbox, probe, _built: built }
    }

    fn words(&self) -> Vec<String> {
        let mut words = vec![self.probe.to_str().expect("text").to_owned()];
        words.extend([self.sandbox.text("bin/arrival"), "arrival".to_owned()]);
        words.extend(cells().into_iter().map(|(cell, ..)| cell));
        words
    }

    fn report(&self, run: Run) -> Report {
        let finished = run.finish().success();
        assert!(finished.stdout.ends_with("\nend\n"), "no end: {}", finished.stdout);
        let (mut lines, mut depths) = (BTreeMap::new(), BTreeMap::new());
        for (name, rest) in finished.stdout.lines().filter_map(|line| line.split_once(' ')) {
            if let Some(function) = name.strip_prefix("stack/") {
                depths.insert(function.to_owned(), rest.parse().expect("a number of bytes"));
            } else {
                lines.insert(name.to_owned(), rest.to_owned());
            }
        }
        let mut marks = self.sandbox.take_marks();
        marks.sort();
        Report { lines, marks, stderr: finished.stderr, depths }
    }

    fn bare(&self) -> Report {
        let report = self.report(Run::bare(&self.sandbox, &self.words()));
        assert_eq!(report.lines.len(), ROUNDS * cells().len(), "{:?}", report.lines);
        let arrivals: usize = cells().iter().map(|(_, family, _)| ROUNDS * runs_of(*family)).sum();
        assert_eq!(report.marks.len(), arrivals, "{:?}", report.marks);
        for (cell, line) in &report.lines {
            let (_, left) = line.split_once(" children ").expect("what it left");
            assert_eq!(left, LEFT_ALONE, "{cell} without the library");
        }
        report
    }
}

/// How often the probe goes through the cells; the second time with a kept connection.
const ROUNDS: usize = 2;
/// The stack that a hook may use in addition to the original function, in bytes.
const STACK_OF_A_HOOK: usize = 4096;
/// The probe's words for a process in which the call has changed nothing.
const LEFT_ALONE: &str = "none descriptors same mask same actions same pipes 0 stack fits";

/// How many programs a child starts: it makes each call twice, unless the first one replaces it.
pub fn runs_of(family: Family) -> usize {
    if family == Family::Exec { 1 } else { 2 }
}

/// Whether a message shell, or the refused process itself, prints the message. The program here is
/// no shell, but the shell functions get a line.
fn is_told_by_program(family: Family, mode: &str) -> bool {
    mode == "message" || mode == "shell" && matches!(family, Family::System | Family::Popen)
}

/// The probe's line for a cell whose calls are all refused.
fn refusal(family: Family, child: &str, mode: &str) -> String {
    const ENDED_WITH_126: i32 = 126 << 8;
    if is_told_by_program(family, mode) {
        let (outcome, ended) = match family {
            Family::Exec => ("gone".to_owned(), ENDED_WITH_126),
            Family::Spawn => (format!("0:77:{ENDED_WITH_126}"), 9 << 8),
            Family::Popen => (format!("1:77:{ENDED_WITH_126}"), 9 << 8),
            Family::System | Family::WordExp => (format!("{ENDED_WITH_126}:77:-1000"), 9 << 8),
        };
        let status = if child == "direct" { 0 } else { ended };
        return format!("{outcome} {outcome} child {status} errno 77 children {LEFT_ALONE}");
    }
    let outcome = match family {
        Family::Spawn => "1:77:-1000",
        Family::Popen => "0:1:-1000",
        _ => "-1:1:-1000",
    };
    let status = if child == "direct" { 0 } else { 9 << 8 };
    // Only a function that reports by errno sets it, and only in the memory in which it runs.
    let is_set = family != Family::Spawn && child != "fork";
    let errno = if is_set { libc::EPERM } else { 77 };
    format!("{outcome} {outcome} child {status} errno {errno} children {LEFT_ALONE}")
}

/// The number of questions about each call.
fn questions(runs: bool, mode: &str) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for (cell, family, _) in cells() {
        for round in 1..=ROUNDS {
            // The shell asks about the program in its line too.
            let times =
                if runs && matches!(family, Family::System | Family::Popen) { 2 } else { 1 };
            all.insert(format!("arrival {cell}/{round}"), times);
            let ends = runs || is_told_by_program(family, mode);
            if !(ends && family == Family::Exec) {
                all.insert(format!("arrival {cell}/{round}+"), times);
            }
        }
    }
    all
}

fn compare(stage: &Stage, bare: &Report, behaviour: &Behaviour) {
    let Behaviour { name, fail_open, refusal: mode, .. } = *behaviour;
    let what = format!("the server {name}, fail-open {fail_open}, {mode}");
    let begun = Instant::now();
    let server = behaviour.script.map(|script| Server::scripted(behaviour.transport, script));
    let closed = ClosedPort::new();
    let url = match (&server, behaviour.transport) {
        (Some(server), _) => server.url.clone(),
        (None, Transport::Tcp) => closed.url(),
        (None, _) => "unix:///nonexistent/policy.sock".to_owned(),
    };
    let run = Run::guarded(&stage.sandbox, &url, &stage.words())
        .env("RAMPART_FAIL_OPEN", if behaviour.fail_open { "1" } else { "0" })
        .env("RAMPART_REFUSAL", behaviour.refusal)
        .env("RAMPART_TIMEOUT_MS", behaviour.timeout_ms.to_string());
    let report = stage.report(run);
    if behaviour.runs {
        let differing: Vec<_> = bare
            .lines
            .iter()
            .filter(|(cell, line)| report.lines.get(*cell) != Some(line))
            .collect();
        let instead: Vec<_> = differing.iter().map(|(cell, _)| report.lines.get(*cell)).collect();
        assert!(differing.is_empty(), "{what}: {differing:#?} became {instead:#?}");
        assert_eq!(report.marks, bare.marks, "{what}");
        assert_eq!(report.stderr, bare.stderr, "{what}");
    } else {
        for (cell, family, child) in cells() {
            for round in 1..=ROUNDS {
                let mut line =
                    report.lines.get(&format!("{cell}/{round}")).cloned().unwrap_or_default();
                if cell.starts_with("posix_spawnp") {
                    // musl's posix_spawnp sets errno first.
                    line = line.replace("0:2:", "0:77:").replace(" errno 2 ", " errno 77 ");
                }
                assert_eq!(line, refusal(family, child, mode), "{cell}/{round}: {what}");
            }
        }
        assert_eq!(report.marks, [""; 0], "{what}");
        let blocked = report.stderr.matches("rampart: blocked ").count();
        let calls =
            |family| if family == Family::Exec && is_told_by_program(family, mode) { 1 } else { 2 };
        let told: usize = cells().iter().map(|(_, family, _)| ROUNDS * calls(*family)).sum();
        assert_eq!(blocked, told, "{what}: {}", report.stderr);
    }
    if let Some(server) = server {
        check_questions(&server, behaviour, &what);
    }
    let deeper = report.depths.iter().map(|(function, depth)| {
        (depth.saturating_sub(bare.depths.get(function).copied().unwrap_or_default()), function)
    });
    let (bytes, function) = deeper.max().expect("a function that was called on a small stack");
    assert!(bytes <= STACK_OF_A_HOOK, "{what}: {function} needs {bytes} bytes more stack");
    println!("{what}: {:.1?}, {function} needs {bytes} bytes more stack", begun.elapsed());
}

fn check_questions(server: &Server, behaviour: &Behaviour, what: &str) {
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    let mut connections: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for question in server.take_requests() {
        let command = question.command();
        *asked.entry(command.clone()).or_default() += 1;
        connections.entry(question.connection).or_default().push(command);
    }
    assert_eq!(asked, questions(behaviour.runs, behaviour.refusal), "{what}");
    // Only the process that loaded the library keeps a connection, and only one.
    let shared: Vec<_> = connections.values().filter(|commands| commands.len() > 1).collect();
    assert!(shared.len() <= 1, "{what}: {shared:?}");
    let are_its_own = shared.iter().all(|it| it.iter().all(|command| command.contains("/direct/")));
    assert!(are_its_own, "{what}: {shared:?}");
}

fn check(parent: Compiler, child: Compiler, behaviours: &[Behaviour]) {
    if !(probes::has(parent) && probes::has(child)) {
        return;
    }
    println!("{parent:?} program starting {child:?} programs:");
    let stage = Stage::new(parent, child);
    let bare = stage.bare();
    for behaviour in behaviours {
        compare(&stage, &bare, behaviour);
    }
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn a_program_of_the_systems_c_library_sees_no_difference_but_refusals() {
    for function in ways::functions() {
        for child in CHILDREN {
            if let Some(why) = impossible(function.family, child) {
                println!("does not apply: {}/{child}: {why}", function.name);
            }
        }
    }
    check(Compiler::System, Compiler::System, &behaviours());
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn a_program_of_musl_sees_no_difference_but_refusals() {
    check(Compiler::Musl, Compiler::Musl, &behaviours());
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn programs_of_one_c_library_start_those_of_the_other() {
    let behaviours = behaviours();
    let decided = behaviours.get(..3).unwrap_or_default();
    check(Compiler::System, Compiler::Musl, decided);
    check(Compiler::Musl, Compiler::System, decided);
}
