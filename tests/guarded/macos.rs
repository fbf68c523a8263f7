//! Which programs are asked about on macOS, and which are followed.
//!
//! Homebrew's programs are guarded. Apple's are asked about, as programs that cannot be followed.
//! This does not depend on whether System Integrity Protection is on: the library is never inserted
//! into protected programs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use scripted_server::{Server, Transport};

use crate::support::{
    Compiler, Run, Sandbox, System, copy_program, installed, is_for_macos_alone, needs_a_mac, probe,
};

/// Whether System Integrity Protection is on, for the messages of failures.
static PROTECTION: LazyLock<String> = LazyLock::new(|| {
    let said = Command::new("csrutil").arg("status").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.unwrap_or_else(|why| format!("csrutil: {why}"))
});

/// The path of a Homebrew program. Where macOS is emulated, the programs in the sandbox's `tools`
/// stand for Homebrew's.
fn homebrew(sandbox: &Sandbox, formula: &str, program: &str) -> Option<String> {
    let found = if *System::here() == System::Mac {
        let prefixes = ["/opt/homebrew", "/usr/local"].iter();
        let places = prefixes.map(|it| Path::new(it).join("opt").join(formula).join("bin"));
        places.map(|it| it.join(program)).find(|path| path.is_file())
    } else {
        let tool = sandbox.path("tools").join(program);
        let original = if program == "genv" { "env" } else { program };
        installed(original).map(|original| {
            if !tool.exists() {
                symlink(original, &tool).expect("a link");
            }
            tool
        })
    };
    if found.is_none() {
        println!("skipped: brew install {formula}");
    }
    found.map(|path| text(&path))
}

fn text(path: &Path) -> String {
    path.to_str().expect("paths of tests are text").to_owned()
}

/// The coverages of a program that is followed, and of Apple's programs.
const FULL: Option<&str> = Some("full");
const SIP: Option<&str> = Some("sip");

/// Checks a command that eventually starts the stand-in `tool x`, which must be asked about as
/// well.
fn followed(sandbox: &Sandbox, words: &[&str], asked: &str, coverage: Option<&str>) {
    check(sandbox, words, (asked, coverage), true);
}

/// Checks one that starts it by a program that is not followed: nobody must ask about `tool x`.
fn not_followed(sandbox: &Sandbox, words: &[&str], asked: &str, coverage: Option<&str>) {
    check(sandbox, words, (asked, coverage), false);
}

/// Runs a command without the library, allowed, and with `asked` denied: `tool` must not run then.
fn check(sandbox: &Sandbox, words: &[&str], asked: (&str, Option<&str>), is_followed: bool) {
    let shown = format!("{words:?} ({})", *PROTECTION);
    let bare = Run::bare(sandbox, words).finish();
    assert_eq!(sandbox.take_marks().len(), 1, "{shown}: {bare:#?}");

    let server = Server::allowing();
    let allowed = Run::guarded(sandbox, &server.url, words).finish();
    assert_eq!((allowed.code(), &allowed.stdout), (bare.code(), &bare.stdout), "{shown}");
    assert_eq!(sandbox.take_marks().len(), 1, "{shown}: {allowed:#?}");
    let questions = questions(&server);
    let (command, coverage) = (asked.0.to_owned(), asked.1.map(str::to_owned));
    assert!(questions.contains(&(command.clone(), coverage)), "{shown}: {questions:#?}");
    let tool = ["tool x", &format!("{} x", sandbox.text("bin/tool"))];
    let is_of_tool = |(command, coverage): &(String, Option<String>)| {
        // The line `tool x` of system(3) looks the same, but goes to Apple's shell.
        tool.contains(&&**command) && coverage.as_deref() != SIP
    };
    assert_eq!(questions.iter().any(is_of_tool), is_followed, "{shown}: {questions:#?}");

    let refused = command.clone();
    let server = Server::judging(Transport::Unix, move |command| command != refused);
    let denied = Run::guarded(sandbox, &server.url, words).env("RAMPART_NOTICE", "0").finish();
    assert!(server.take_commands().contains(&command), "{shown}: {denied:#?}");
    assert_eq!(sandbox.take_marks(), [""; 0], "{shown}: {denied:#?}");
}

/// The commands asked about, each with its coverage.
fn questions(server: &Server) -> Vec<(String, Option<String>)> {
    let questions = server.take_requests();
    let pairs = questions.iter().map(|question| {
        let coverage = question.json()["params"]["coverage"].as_str().map(str::to_owned);
        (question.command(), coverage)
    });
    pairs.collect()
}

/// The probe that starts programs in ways that only macOS has.
fn start_macos() -> String {
    text(&probe("start_macos", Compiler::System))
}

#[test]
fn the_library_is_loaded_into_a_homebrew_program() {
    if is_for_macos_alone() {
        return;
    }
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    for (formula, program, option, script) in [
        ("bash", "bash", "-c", "echo here"),
        ("python", "python3", "-c", "print('here')"),
        ("node", "node", "-e", "console.log('here')"),
    ] {
        let Some(program) = homebrew(&sandbox, formula, program) else { continue };
        let finished = Run::guarded(&sandbox, &server.url, &[&*program, option, script])
            .env("RAMPART_DEBUG", "1")
            .finish()
            .success();
        assert_eq!(finished.stdout, "here\n", "{finished:#?}");
        assert!(finished.stderr.contains("[rampart] loaded pid="), "{finished:#?}");
    }
}

#[test]
fn what_a_homebrew_program_starts_is_asked_about_and_followed() {
    if is_for_macos_alone() {
        return;
    }
    let sandbox = Sandbox::new();
    let tool = sandbox.text("bin/tool");
    let by_path = format!("{tool} x");
    if let Some(bash) = homebrew(&sandbox, "bash", "bash") {
        followed(&sandbox, &[&bash, "-c", "tool x"], "tool x", FULL);
        followed(&sandbox, &[&bash, "-c", "tool x; true"], "tool x", FULL);
        followed(&sandbox, &[&bash, "-c", &by_path], &by_path, FULL);
    }
    if let Some(python) = homebrew(&sandbox, "python", "python3") {
        for script in [
            "import subprocess; subprocess.run(['tool', 'x'])",
            "import os; os.execvp('tool', ['tool', 'x'])",
            "import os; os.waitpid(os.posix_spawnp('tool', ['tool', 'x'], os.environ), 0)",
        ] {
            followed(&sandbox, &[&python, "-c", script], "tool x", FULL);
        }
    }
    if let Some(node) = homebrew(&sandbox, "node", "node") {
        let script = "require('child_process').spawnSync('tool', ['x'])";
        followed(&sandbox, &[&node, "-e", script], "tool x", FULL);
    }
}

#[test]
fn apples_shell_is_asked_about_and_what_it_starts_is_not() {
    if is_for_macos_alone() {
        return;
    }
    let sandbox = Sandbox::new();
    if let Some(bash) = homebrew(&sandbox, "bash", "bash") {
        let words = [&*bash, "-c", "/bin/sh -c 'tool x'"];
        not_followed(&sandbox, &words, "/bin/sh -c 'tool x'", SIP);
    }
    if let Some(python) = homebrew(&sandbox, "python", "python3") {
        for script in [
            "import subprocess; subprocess.run('tool x', shell=True)",
            "import os; print(os.popen('tool x').read())",
        ] {
            not_followed(&sandbox, &[&python, "-c", script], "/bin/sh -c 'tool x'", SIP);
        }
    }
    if let Some(node) = homebrew(&sandbox, "node", "node") {
        let words = [&*node, "-e", "require('child_process').exec('tool x')"];
        not_followed(&sandbox, &words, "/bin/sh -c 'tool x'", SIP);
    }
}

#[test]
fn system_and_popen_are_asked_about_by_their_line() {
    if is_for_macos_alone() {
        return;
    }
    let sandbox = Sandbox::new();
    if let Some(python) = homebrew(&sandbox, "python", "python3") {
        let words = [&*python, "-c", "import os; os.system('tool x')"];
        not_followed(&sandbox, &words, "tool x", SIP);
    }
    let start = start_macos();
    not_followed(&sandbox, &[&start, "system", "tool x"], "tool x", SIP);
    not_followed(&sandbox, &[&start, "popen", "tool x"], "tool x", SIP);
}

#[test]
fn a_script_is_asked_about_as_what_its_first_line_names() {
    if is_for_macos_alone() {
        return;
    }
    let sandbox = Sandbox::new();
    let (Some(bash), Some(node)) =
        (homebrew(&sandbox, "bash", "bash"), homebrew(&sandbox, "node", "node"))
    else {
        return;
    };
    symlink(&node, sandbox.path("bin/node")).expect("a link");
    let start = "require('child_process').spawnSync('tool', ['x'])";
    sandbox.file("bin/by-env", format!("#!/usr/bin/env node\n{start}\n"));
    not_followed(&sandbox, &[&bash, "-c", "by-env"], "by-env", SIP);
    sandbox.file("bin/by-path", format!("#!{node}\n{start}\n"));
    followed(&sandbox, &[&bash, "-c", "by-path"], "by-path", FULL);
}

#[test]
fn a_cleared_environment_makes_no_difference_but_through_apples_env() {
    if is_for_macos_alone() {
        return;
    }
    let sandbox = Sandbox::new();
    let tool = sandbox.text("bin/tool");
    let by_path = format!("{tool} x");
    let Some(bash) = homebrew(&sandbox, "bash", "bash") else { return };
    if let Some(genv) = homebrew(&sandbox, "coreutils", "genv") {
        let script = format!("{genv} -i {by_path}");
        followed(&sandbox, &[&bash, "-c", &script], &by_path, FULL);
    }
    if let Some(python) = homebrew(&sandbox, "python", "python3") {
        let script =
            format!("import subprocess; subprocess.run(['{bash}', '-c', '{by_path}'], env={{}})");
        followed(&sandbox, &[&python, "-c", &script], &by_path, FULL);
    }
    let script = format!("/usr/bin/env -i {by_path}");
    not_followed(&sandbox, &[&bash, "-c", &script], &script, SIP);
}

#[test]
fn the_ways_of_posix_spawn_that_only_macos_has_are_guarded() {
    if is_for_macos_alone() {
        return;
    }
    let sandbox = Sandbox::new();
    let (start, tool) = (start_macos(), sandbox.text("bin/tool"));
    for way in ["setexec", "cloexec_default"] {
        followed(&sandbox, &[&start, way, &tool, "tool", "x"], "tool x", FULL);
    }
    // Homebrew's python3 re-executes itself like that; the policy sees the path of the new program.
    let python = sandbox.text("Python.app/Contents/MacOS/Python");
    fs::create_dir_all(sandbox.path("Python.app/Contents/MacOS")).expect("directories");
    copy_program(&tool, &python);
    let server = Server::denying();
    let words = [&*start, "setexec", &python, "python3", "x"];
    Run::guarded(&sandbox, &server.url, &words).finish();
    assert_eq!(server.take_commands(), [format!("{python} x")]);
    let server = Server::allowing();
    let about = |way| {
        let words = [&*start, way, &start, "start_macos", "about", "-"];
        Run::guarded(&sandbox, &server.url, &words).finish().success().stdout
    };
    assert!(about("plain").contains("descriptor 50 is open\n"));
    assert!(about("cloexec_default").contains("descriptor 50 is closed\n"));
    assert_eq!(about("disable_aslr"), about("disable_aslr"));
    // A relative path in another directory cannot be looked at.
    let words = [&*start, "chdir", "../bin/tool", "tool", "x"];
    followed(&sandbox, &words, "tool x", None);
}

#[test]
fn a_hardened_program_is_asked_about_as_such_and_still_runs() {
    if needs_a_mac("codesign makes it") {
        return;
    }
    let sandbox = Sandbox::new();
    let Some(bash) = homebrew(&sandbox, "bash", "bash") else { return };
    let (hardened, tool) = (sandbox.text("hardened"), sandbox.text("bin/tool"));
    copy_program(start_macos(), &hardened);
    let signing = ["--force", "--sign", "-", "--options", "runtime", &hardened];
    let signed = Command::new("codesign").args(signing).output().expect("codesign");
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    let command = format!("{hardened} setexec {tool} tool x");
    not_followed(&sandbox, &[&bash, "-c", &command], &command, Some("hardened"));
}

#[test]
fn an_intel_program_is_guarded_like_any_other() {
    if needs_a_mac("Rosetta runs it") {
        return;
    }
    if !Command::new("arch")
        .args(["-x86_64", "/usr/bin/true"])
        .status()
        .is_ok_and(|it| it.success())
    {
        println!("skipped: this Mac runs no Intel programs (softwareupdate --install-rosetta)");
        return;
    }
    let sandbox = Sandbox::new();
    let (program, tool) = (sandbox.text("intel"), sandbox.text("bin/tool"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guarded/probes/start_macos.c");
    let mut cc = Command::new("cc");
    let built = cc.args(["-arch", "x86_64", "-o", &program]).arg(source).output().expect("cc");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    followed(&sandbox, &[&program, "setexec", &tool, "tool", "x"], "tool x", FULL);
    let Some(bash) = homebrew(&sandbox, "bash", "bash") else { return };
    let command = format!("{program} setexec {tool} tool x");
    followed(&sandbox, &[&bash, "-c", &command], &command, FULL);
}
