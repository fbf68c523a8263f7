//! Every function, in every kind of child, under every kind of server, in programs
//! of both C libraries, twice in the same parent.

use std::time::Duration;

use scripted_server::{ALLOWED, DENIED, Exchange, Server, Transport, json_answer};

use crate::hooks::had;
use crate::musl;
use crate::support::{Compiler, Run, Sandbox, probe};

const IN_CHILDREN: [&str; 11] = [
    "execve",
    "execv",
    "execvp",
    "execvpe",
    "execvP",
    "execl",
    "execlp",
    "execle",
    "fexecve",
    "execveat",
    "syscall_execve",
];
const IN_PLACE: [&str; 4] = ["posix_spawn", "posix_spawnp", "system", "popen"];

/// What a server does, and whether a program runs then with fail-open 0 and 1.
type Behaviour = (&'static str, [bool; 2], fn(&mut Exchange));

const BEHAVIOURS: [Behaviour; 7] = [
    ("allows", [true, true], |exchange| exchange.answer_all(|_| json_answer(ALLOWED))),
    ("denies", [false, false], |exchange| exchange.answer_all(|_| json_answer(DENIED))),
    ("is slow", [true, true], |exchange| {
        exchange.answer_all(|_| {
            std::thread::sleep(Duration::from_millis(20));
            json_answer(ALLOWED)
        });
    }),
    ("hangs", [false, true], Exchange::hang),
    ("closes", [false, true], |_| {}),
    ("resets", [false, true], |exchange| {
        exchange.reset_on_close();
        exchange.read();
    }),
    ("babbles", [false, false], |exchange| {
        exchange.read();
        exchange.send("a server of another kind\r\n");
    }),
];

fn matrix(compiler: Compiler) {
    let sandbox = Sandbox::with_stand_ins(compiler);
    let start = probe("start", compiler);
    let start = start.to_str().expect("text");
    let rm = sandbox.text("bin/rm");
    let places = ["--in=fork", "--in=vfork", "--in=clone"];
    let children = had(&IN_CHILDREN).into_iter().flat_map(|it| places.map(|place| (it, place)));
    let all: Vec<_> = children.chain(IN_PLACE.map(|it| (it, "--in=direct"))).collect();
    for (name, runs, script) in BEHAVIOURS {
        let server = Server::scripted(Transport::Tcp, script);
        for (index, (function, place)) in all.iter().enumerate() {
            // Half of them with fail-open, for the whole product would take too long.
            let fail_open = index % 2;
            let words = [start, place, "--times=2", function, &rm, "rm", "x"];
            let before = server.connections();
            let finished = Run::guarded(&sandbox, &server.url, &words)
                .env("RAMPART_FAIL_OPEN", fail_open.to_string())
                .env("RAMPART_TIMEOUT_MS", if name == "hangs" { "40" } else { "10000" })
                .env("RAMPART_NOTICE", "0")
                .finish()
                .success();
            let case = format!("{function} {place}, the server {name}, {compiler:?}");
            let marks = sandbox.take_marks().len();
            assert_eq!(marks, if runs[fail_open] { 2 } else { 0 }, "{case}: {finished:#?}");
            assert!(server.connections() > before, "{case}: nobody was asked");
            // musl's own execvp begins by setting errno, in a vfork child its parent's.
            let touched = finished.stdout.contains("the parent's errno");
            let may_be = compiler == Compiler::Musl && function.contains('p');
            assert!(!touched || may_be, "{case}: {finished:#?}");
            assert!(!finished.stdout.contains("stack overrun"), "{case}: {finished:#?}");
            assert_eq!(finished.stderr, "", "{case}");
        }
    }
}

#[test]
fn every_function_in_every_child_obeys_every_server() {
    matrix(Compiler::System);
}

#[test]
fn the_same_in_programs_of_musl() {
    if musl::is_here() {
        matrix(Compiler::Musl);
    }
}
