//! The table of ways, quickly: each function, in each kind of child, under each behaviour of the server,
//! twice in the same parent, in programs of both C libraries.

use scripted_server::{ClosedPort, Server, Transport};

use crate::musl;
use crate::support::{Compiler, Run, Sandbox, System, probe, wait_until};
use crate::ways::{Behaviour, CHILDREN, Family, Given, behaviours, functions, impossible};

/// Each function, with each kind of child in which it is called here. `hooks.rs` goes through the
/// functions that are left out: they differ in the name of the program or the handle of the child.
fn calls() -> Vec<(&'static str, &'static str)> {
    let is_here = |name: &str, family| match family {
        Family::Exec => true,
        Family::Spawn => matches!(name, "posix_spawn" | "posix_spawnp"),
        Family::System | Family::Popen => matches!(name, "system" | "popen"),
        Family::WordExp => false,
    };
    let all = functions().iter().filter(|it| it.given != Given::Memory);
    all.filter(|it| is_here(it.name, it.family))
        .flat_map(|it| CHILDREN.map(|child| (it, child)))
        .filter(|(it, child)| it.family == Family::Exec || *child == "direct")
        .filter(|(it, child)| impossible(it.family, child).is_none())
        .filter(|(_, child)| !(*child == "clone" && System::is_macos()))
        .map(|(it, child)| (it.name, child))
        .collect()
}

/// A server of this behaviour, if there is one, and its URL.
fn serve(behaviour: &Behaviour, closed: &ClosedPort) -> (Option<Server>, String) {
    match behaviour.script {
        Some(script) => {
            let server = Server::scripted(behaviour.transport, script);
            let url = server.url.clone();
            (Some(server), url)
        }
        None if behaviour.transport == Transport::Tcp => (None, closed.url()),
        None => (None, "unix:///nonexistent/policy.sock".to_owned()),
    }
}

fn matrix(compiler: Compiler) {
    let sandbox = Sandbox::with_stand_ins(compiler);
    let start = probe("start", compiler);
    let start = start.to_str().expect("text");
    let rm = sandbox.text("bin/rm");
    let closed = ClosedPort::new();
    let behaviours = behaviours();
    let behaviours = behaviours.iter().filter(|it| it.refusal == "errno");
    for (number, behaviour) in behaviours.enumerate() {
        let (server, url) = serve(behaviour, &closed);
        let connections = || server.as_ref().map_or(0, Server::connections);
        // Every other call: all of them, and more of each, are in tests/full.
        for (function, child) in calls().into_iter().skip(number % 2).step_by(2) {
            let place = format!("--in={child}");
            let words = [start, &place, "--times=2", function, &rm, "rm", "x"];
            let before = connections();
            let finished = Run::guarded(&sandbox, &url, &words)
                .env("RAMPART_FAIL_OPEN", if behaviour.fail_open { "1" } else { "0" })
                .env("RAMPART_TIMEOUT_MS", behaviour.timeout_ms.to_string())
                .env("RAMPART_NOTICE", "0")
                .finish()
                .success();
            let case = format!("{function} {place}, the server {}, {compiler:?}", behaviour.name);
            let marks = sandbox.take_marks().len();
            assert_eq!(marks, if behaviour.runs { 2 } else { 0 }, "{case}: {finished:#?}");
            wait_until(&case, || server.is_none() || connections() > before);
            // musl's execvp sets errno first, in a vfork child its parent's.
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
