//! The one table of ways to start a program, and of what policy servers do: `matrix.rs` goes through
//! it quickly, `tests/full/matrix.rs` with each call looked at from all sides.

use std::time::Duration;

use scripted_server::{ALLOWED, DENIED, Exchange, Transport, json_answer};

use crate::support::{Compiler, Sandbox, System, probe, started};

/// How a function reports an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Exec,
    Spawn,
    System,
    Popen,
    WordExp,
}

/// How a function names the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    Path,
    Name,
    /// A path, but the file that runs is a copy in memory without a name.
    Memory,
    Line(&'static str),
}

pub struct Function {
    pub name: &'static str,
    pub family: Family,
    pub given: Given,
}

const LINE: &str = "rm -rf 'a b'";

const fn function(name: &'static str, family: Family, given: Given) -> Function {
    Function { name, family, given }
}

/// The functions of macOS.
const OF_MACOS: [Function; 15] = [
    function("execve", Family::Exec, Given::Path),
    function("execv", Family::Exec, Given::Path),
    function("execvp", Family::Exec, Given::Name),
    function("execvP", Family::Exec, Given::Name),
    function("execl", Family::Exec, Given::Path),
    function("execlp", Family::Exec, Given::Name),
    function("execle", Family::Exec, Given::Path),
    function("posix_spawn", Family::Spawn, Given::Path),
    function("posix_spawnp", Family::Spawn, Given::Name),
    function("posix_spawn_setexec", Family::Spawn, Given::Path),
    function("system", Family::System, Given::Line(LINE)),
    function("system_nocancel", Family::System, Given::Line(LINE)),
    function("popen", Family::Popen, Given::Line(LINE)),
    function("popen_darwin_extsn", Family::Popen, Given::Line(LINE)),
    function("wordexp", Family::WordExp, Given::Line("$(rm -rf 'a b') `rm`")),
];

/// The functions of Linux.
const OF_LINUX: [Function; 24] = [
    function("execve", Family::Exec, Given::Path),
    function("execv", Family::Exec, Given::Path),
    function("execvp", Family::Exec, Given::Name),
    function("execvpe", Family::Exec, Given::Name),
    function("execl", Family::Exec, Given::Path),
    function("execlp", Family::Exec, Given::Name),
    function("execle", Family::Exec, Given::Path),
    function("fexecve", Family::Exec, Given::Path),
    function("fexecve_path_only", Family::Exec, Given::Path),
    function("fexecve_memfd", Family::Exec, Given::Memory),
    function("execveat", Family::Exec, Given::Path),
    function("execveat_directory", Family::Exec, Given::Path),
    function("execveat_empty", Family::Exec, Given::Path),
    function("execveat_memfd", Family::Exec, Given::Memory),
    function("syscall_execve", Family::Exec, Given::Path),
    function("syscall_execveat", Family::Exec, Given::Path),
    function("syscall_execveat_empty", Family::Exec, Given::Path),
    function("posix_spawn", Family::Spawn, Given::Path),
    function("posix_spawnp", Family::Spawn, Given::Name),
    function("pidfd_spawn", Family::Spawn, Given::Path),
    function("pidfd_spawnp", Family::Spawn, Given::Name),
    function("system", Family::System, Given::Line(LINE)),
    function("popen", Family::Popen, Given::Line(LINE)),
    function("wordexp", Family::WordExp, Given::Line("$(rm -rf 'a b') `rm`")),
];

impl Function {
    pub fn words(&self, sandbox: &Sandbox, compiler: Compiler, options: &[&str]) -> Vec<String> {
        let mut words = started(probe("start", compiler).to_str().expect("text"), compiler);
        words.extend(options.iter().map(|option| (*option).to_owned()));
        words.push(self.name.to_owned());
        match self.given {
            Given::Path | Given::Memory => words.push(sandbox.text("bin/rm")),
            Given::Name => words.push("rm".to_owned()),
            Given::Line(line) => {
                words.push(line.to_owned());
                return words;
            }
        }
        words.extend(["rm", "-rf", "a b"].map(str::to_owned));
        words
    }

    pub fn question(&self) -> &'static str {
        match self.given {
            Given::Path | Given::Name => LINE,
            Given::Memory => "'/memfd:copy (deleted)' -rf 'a b'",
            Given::Line(line) => line,
        }
    }

    /// The questions of the shell that runs the line; on macOS it has no library.
    pub fn questions_of_the_shell(&self) -> &'static [&'static str] {
        match self.family {
            _ if System::is_macos() => &[],
            Family::System | Family::Popen => &[LINE],
            Family::WordExp => &[LINE, "rm"],
            Family::Exec | Family::Spawn => &[],
        }
    }

    /// The probe's output for a function that fails with EPERM (1); errno was 77 before.
    pub fn refusal(&self, times: u32) -> String {
        let report = match self.family {
            Family::Exec | Family::System => "returned -1 errno 1 status -1000",
            Family::Spawn => "returned 1 errno 77 status -1000",
            Family::Popen => "returned 0 errno 1 status -1000",
            Family::WordExp if System::is_macos() => "returned 3 errno 77 status -1000",
            Family::WordExp => "returned 4 errno 77 status -1000",
        };
        format!("{times}x {report}\n")
    }
}

/// The functions of this system.
pub fn functions() -> &'static [Function] {
    if System::is_macos() { &OF_MACOS } else { &OF_LINUX }
}

/// The functions of `names` that this system has.
pub fn had<'n>(names: &[&'n str]) -> Vec<&'n str> {
    let is_had = |name: &&&str| functions().iter().any(|it| it.name == **name);
    names.iter().filter(is_had).copied().collect()
}

/// The kinds of children in which a function can be called, and the calling process itself.
pub const CHILDREN: [&str; 4] = ["fork", "vfork", "clone", "direct"];

/// Why a function is not called in a kind of child; `None` if it is.
pub fn impossible(family: Family, child: &str) -> Option<&'static str> {
    match (family, child) {
        (Family::Exec, "direct") => Some("it would replace the probe"),
        (Family::System | Family::Popen | Family::WordExp, "vfork" | "clone") => {
            Some("not legal C: it allocates and locks in its parent's memory")
        }
        _ => None,
    }
}

/// What a server does, and what must follow.
pub struct Behaviour {
    pub name: &'static str,
    pub transport: Transport,
    pub script: Option<fn(&mut Exchange)>,
    pub fail_open: bool,
    pub runs: bool,
    pub timeout_ms: u32,
    /// How a refusal looks.
    pub refusal: &'static str,
}

/// Long enough that no check times out on a busy machine.
const AMPLE_MS: u32 = 20_000;
/// The time limit with a server that never answers, which each check waits for.
const SHORT_MS: u32 = 40;

fn allow(exchange: &mut Exchange) {
    exchange.answer_all(|_| json_answer(ALLOWED));
}

fn deny(exchange: &mut Exchange) {
    exchange.answer_all(|_| json_answer(DENIED));
}

fn hang(exchange: &mut Exchange) {
    exchange.read();
    exchange.hang();
}

pub fn dawdle(exchange: &mut Exchange) {
    exchange.answer_all(|_| {
        std::thread::sleep(Duration::from_millis(15));
        json_answer(ALLOWED)
    });
}

fn reset(exchange: &mut Exchange) {
    exchange.read();
    exchange.reset_on_close();
}

fn break_off(exchange: &mut Exchange) {
    exchange.read();
    let answer = json_answer(ALLOWED);
    exchange.send(&answer[..answer.len() - 1]);
}

fn talk_garbage(exchange: &mut Exchange) {
    exchange.read();
    exchange.send([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, b'\r', b'\n', b'\r', b'\n']);
}

fn answer_garbage(exchange: &mut Exchange) {
    exchange.answer_all(|_| json_answer(r#"{"allowed":true}{"allowed":true}"#));
}

/// A behaviour that does not depend on `RAMPART_FAIL_OPEN`, which is set to the opposite.
fn behaviour(
    name: &'static str,
    transport: Transport,
    script: fn(&mut Exchange),
    runs: bool,
) -> Behaviour {
    let script = Some(script);
    let (fail_open, timeout_ms, refusal) = (!runs, AMPLE_MS, "errno");
    Behaviour { name, transport, script, fail_open, runs, timeout_ms, refusal }
}

/// The behaviours whose outcome `RAMPART_FAIL_OPEN` decides, with this value.
fn failures(fail_open: bool) -> [Behaviour; 5] {
    use Transport::{Tcp, Unix};
    let failing = |name, transport, script, timeout_ms| Behaviour {
        name,
        transport,
        script,
        fail_open,
        runs: fail_open,
        timeout_ms,
        refusal: "errno",
    };
    [
        failing("dead", Tcp, None, AMPLE_MS),
        failing("dead (Unix)", Unix, None, AMPLE_MS),
        failing("hangs", Unix, Some(hang), SHORT_MS),
        failing("resets", Tcp, Some(reset), AMPLE_MS),
        failing("breaks off", Unix, Some(break_off), AMPLE_MS),
    ]
}

/// All behaviours, with each value of `RAMPART_FAIL_OPEN` that matters and each mode of refusal.
pub fn behaviours() -> Vec<Behaviour> {
    use Transport::{Tcp, Unix};
    let mut all = vec![
        behaviour("allows", Tcp, allow, true),
        behaviour("allows (Unix)", Unix, allow, true),
        behaviour("denies", Tcp, deny, false),
        behaviour("denies (Unix)", Unix, deny, false),
        behaviour("is slow", Unix, dawdle, true),
        behaviour("talks garbage", Tcp, talk_garbage, false),
        behaviour("answers garbage", Unix, answer_garbage, false),
        Behaviour { refusal: "message", ..behaviour("denies", Tcp, deny, false) },
        Behaviour { refusal: "shell", ..behaviour("denies", Unix, deny, false) },
    ];
    all.extend(failures(true));
    all.extend(failures(false));
    all
}
