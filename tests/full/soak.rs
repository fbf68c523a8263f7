//! Many threads of many processes start programs without a pause, while the server is killed and
//! restarted again and again.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use scripted_server::{Carrier, Exchange, Server, verdict};
use tempfile::TempDir;

use crate::probes::{self, Linked};
use crate::support::{Compiler, Sandbox, copy_program, library};
use crate::watched::{Watched, run};

const PROCESSES: u16 = 8;
const THREADS: u16 = 8;
const TIMEOUT_MS: u64 = 2000;
/// A call that takes longer hangs. Far more than its questions take on a busy machine.
const LONGEST_CALL_MS: i64 = 15_000;

/// The variables by which the test makes its own program the server.
const SOCKET: &str = "SOAK_SERVER_SOCKET";
const PORT: &str = "SOAK_SERVER_PORT";
const RECORD: &str = "SOAK_SERVER_RECORD";

fn seconds() -> u64 {
    const DEFAULT: u64 = 60;
    let given = env::var("RAMPART_SOAK_SECONDS").ok();
    given.map_or(DEFAULT, |text| text.parse().expect("RAMPART_SOAK_SECONDS is a number"))
}

/// The server's process, which runs until it is killed.
#[test]
#[ignore = "only the soak tests start it"]
fn serve() {
    let [socket, port, record] = [SOCKET, PORT, RECORD].map(env::var);
    let (Ok(socket), Ok(port), Ok(record)) = (socket, port, record) else { return };
    let _ = fs::remove_file(&socket);
    let their_record = record.clone();
    let _unix = Server::at_socket(Path::new(&socket), None, move |exchange| {
        answer(exchange, &their_record);
    });
    let tcp = TcpListener::bind(format!("127.0.0.1:{port}")).expect("the port");
    let carry = |stream| Ok(Box::new(stream) as Box<dyn Carrier>);
    let _tcp = Server::at_port(tcp, carry, move |exchange| answer(exchange, &record));
    loop {
        thread::park();
    }
}

/// Answers the questions of a connection; an allowed command is recorded before it is answered.
pub fn answer(exchange: &mut Exchange, record: &str) {
    let record = OpenOptions::new().append(true).create(true).open(record).expect("the record");
    exchange.answer_all(|question| {
        let command = question.command();
        let is_good = command.starts_with("arrival good-");
        if is_good {
            (&record).write_all(format!("{command}\n").as_bytes()).expect("room for the record");
        }
        verdict(is_good)
    });
}

/// Kills and restarts the server until the given time; returns how often it was started.
fn kill_and_restart(directory: &Path, port: u16, until: Instant) -> u32 {
    let mut lives = 0;
    while Instant::now() < until {
        let mut server = Command::new(env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "soak::serve"])
            .env(SOCKET, directory.join("policy.sock"))
            .env(PORT, port.to_string())
            .env(RECORD, directory.join("record"))
            .stdout(Stdio::null())
            .spawn()
            .expect("this program again");
        lives += 1;
        thread::sleep(Duration::from_millis(900));
        server.kill().expect("a child can be killed");
        server.wait().expect("a child can be waited for");
        thread::sleep(Duration::from_millis(100));
    }
    lives
}

/// A free port below the ephemeral ones, so that no other program gets it while the server is dead.
fn port() -> u16 {
    const BELOW_THE_EPHEMERAL: std::ops::Range<u16> = 21_000..29_000;
    let mut candidates = BELOW_THE_EPHEMERAL;
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

fn start(sandbox: &Sandbox, soak: &Path, url: &str, fail_open: bool, seconds: u64) -> Watched {
    let mut command = Command::new(soak);
    command
        .arg(sandbox.path("bin/arrival"))
        .args(["arrival", &THREADS.to_string(), &seconds.to_string()])
        .env_clear()
        .env("PATH", sandbox.search_path())
        .env("LD_PRELOAD", library())
        .env("RAMPART_URL", url)
        .env("RAMPART_FAIL_OPEN", if fail_open { "1" } else { "0" })
        .env("RAMPART_TIMEOUT_MS", TIMEOUT_MS.to_string())
        .env("RAMPART_NOTICE", "0")
        .current_dir(sandbox.path("home"));
    let grace = Duration::from_millis(4 * LONGEST_CALL_MS.unsigned_abs());
    Watched::start(&mut command, Duration::from_secs(seconds) + grace)
}

/// What the probe `soak` reports.
struct Tally {
    good_ran: i64,
    good_refused: i64,
    good_failed: i64,
    evil_ran: i64,
    evil_refused: i64,
    evil_failed: i64,
    longest_ms: i64,
    kept: i64,
}

impl Tally {
    fn read(said: &str) -> Option<Self> {
        let numbers: Vec<i64> =
            said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let &[
            good_ran,
            good_refused,
            good_failed,
            evil_ran,
            evil_refused,
            evil_failed,
            longest_ms,
            kept,
        ] = &numbers[..]
        else {
            return None;
        };
        Some(Self {
            good_ran,
            good_refused,
            good_failed,
            evil_ran,
            evil_refused,
            evil_failed,
            longest_ms,
            kept,
        })
    }
}

/// The IDs in lines `arrival ID …`.
fn ids(lines: &str) -> BTreeSet<&str> {
    lines.lines().filter_map(|line| line.split_whitespace().nth(1)).collect()
}

/// The descriptors that a program inherited, from its mark.
fn descriptors(mark: &str) -> &str {
    mark.rsplit_once(" descriptors ").map_or("none", |(_, numbers)| numbers)
}

fn soak(fail_open: bool, seconds: u64) {
    let directory = TempDir::new().expect("a temporary directory");
    let probe =
        |name| probes::compiled(directory.path(), name, Compiler::System, Linked::Dynamically);
    let soak: PathBuf = probe("soak");
    let sandbox = Sandbox::new();
    copy_program(probe("arrival"), sandbox.path("bin/arrival"));
    let alone = run(&mut Command::new(sandbox.path("bin/arrival")), Duration::from_secs(30));
    let first_marks = sandbox.take_marks();
    let inherited = first_marks.first().map(|line| descriptors(line));
    let inherited = inherited.unwrap_or_else(|| panic!("{alone:?}"));
    let port = port();
    let urls = [
        format!("unix://{}", directory.path().join("policy.sock").display()),
        format!("http://127.0.0.1:{port}"),
    ];
    let until = Instant::now() + Duration::from_secs(seconds + 1);
    let processes: Vec<_> = (0..PROCESSES)
        .zip(urls.iter().cycle())
        .map(|(_, url)| start(&sandbox, &soak, url, fail_open, seconds))
        .collect();
    let lives = kill_and_restart(directory.path(), port, until);

    let (mut ran, mut refused, mut longest) = (0, 0, 0);
    for process in processes {
        let ended = process.finish();
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stdout.ends_with("left nothing\n"), "{ended:?}");
        let tally = Tally::read(&ended.stdout).unwrap_or_else(|| panic!("{ended:?}"));
        assert_eq!((tally.good_failed, tally.evil_failed), (0, 0), "{ended:?}");
        assert!(tally.kept <= 1 && tally.longest_ms < LONGEST_CALL_MS, "{ended:?}");
        if fail_open {
            assert_eq!(tally.good_refused, 0, "{ended:?}");
        } else {
            assert_eq!(tally.evil_ran, 0, "{ended:?}");
        }
        ran += tally.good_ran + tally.evil_ran;
        refused += tally.good_refused + tally.evil_refused;
        longest = longest.max(tally.longest_ms);
    }
    let marks = fs::read_to_string(sandbox.path("marks")).expect("marks");
    let record = fs::read_to_string(directory.path().join("record")).expect("a record");
    println!(
        "fail-open {fail_open}: {ran} ran, {refused} refused, {lives} lives of the server, \
         longest call {longest} ms"
    );
    assert!(ran > 100 && refused > 100, "{ran} ran, {refused} refused");
    assert_eq!(i64::try_from(marks.lines().count()).ok(), Some(ran), "every run left a mark");
    let leaked: Vec<_> =
        marks.lines().filter(|line| descriptors(line) != inherited).take(9).collect();
    assert!(leaked.is_empty(), "inherited more than {inherited}: {leaked:#?}");
    if !fail_open {
        let unchecked: Vec<_> = ids(&marks).difference(&ids(&record)).copied().collect();
        assert!(unchecked.is_empty(), "ran without being allowed: {unchecked:?}");
    }
}

#[test]
#[ignore = "takes a minute: make test-full"]
fn nothing_runs_unchecked_while_the_server_comes_and_goes() {
    soak(false, seconds());
}

#[test]
#[ignore = "takes a minute: make test-full"]
fn with_fail_open_nothing_is_refused_for_lack_of_a_server() {
    soak(true, seconds().div_ceil(4));
}
