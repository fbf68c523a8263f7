//! Well-known programs with and without the library: the same output if allowed, and what they
//! report if refused.

use rampart_core::coverage::Coverage;
use scripted_server::{Server, Transport};

use crate::support::{
    Finished, Run, Sandbox, System, coverage_of, installed, is_for_linux_alone,
    needs_a_mac_or_linux,
};

/// Why programs that use `/bin/sh` are not followed on macOS.
pub const APPLES_SHELL: &str = "Apple's /bin/sh is not guarded; see macos.rs";

/// A command that eventually starts `tool x`.
pub struct Case<'c> {
    pub words: &'c [&'c str],
    /// Its exit status if `tool x` is denied.
    pub denied: i32,
}

/// Denies `tool` and allows the programs on the way to it.
fn server_without_tool() -> Server {
    Server::judging(Transport::Unix, |command| !command.starts_with("tool "))
}

/// Runs a case three times: bare, allowed, and denied.
pub fn check(sandbox: &Sandbox, case: &Case<'_>) -> Option<Finished> {
    let Case { words, denied: denied_code } = case;
    let Some(path) = installed(words[0]) else {
        println!("skipped, for {} is not installed: {words:?}", words[0]);
        return None;
    };
    // Some distributions link busybox statically, for example.
    let coverage = coverage_of(&path);
    if coverage != Some(Coverage::Full) {
        println!("skipped, for {} is {coverage:?} here: {words:?}", path.display());
        return None;
    }
    let bare = Run::bare(sandbox, words).finish();
    let marks = sandbox.take_marks();
    assert!(marks.contains(&"tool x".to_owned()), "{words:?}: {bare:#?}");

    let server = Server::allowing();
    let allowed = Run::guarded(sandbox, &server.url, words).finish();
    assert_eq!(allowed.seen(), bare.seen(), "{words:?}");
    assert_eq!(sorted(sandbox.take_marks()), sorted(marks), "{words:?}");
    assert!(server.take_commands().contains(&"tool x".to_owned()), "{words:?}");

    let server = server_without_tool();
    let denied = Run::guarded(sandbox, &server.url, words).env("RAMPART_NOTICE", "0").finish();
    assert_eq!(sandbox.take_marks(), [""; 0], "{words:?}: {denied:#?}");
    assert!(server.take_commands().contains(&"tool x".to_owned()), "{words:?}: {denied:#?}");
    // zsh exits with 127 also if a program cannot be executed.
    let same = denied.code() == *denied_code || (words[0], denied.code()) == ("zsh", 127);
    assert!(same, "{words:?}, not {denied_code}: {denied:#?}");
    Some(denied)
}

fn sorted(mut marks: Vec<String>) -> Vec<String> {
    marks.sort_unstable();
    marks
}

fn check_all(cases: &[Case<'_>]) {
    let sandbox = Sandbox::new();
    for case in cases {
        check(&sandbox, case);
    }
}

const fn case<'c>(words: &'c [&'c str], denied: i32) -> Case<'c> {
    Case { words, denied }
}

#[test]
fn shells_run_what_is_allowed_and_exit_with_126_otherwise() {
    let sandbox = Sandbox::new();
    let nested = "sh -c 'sh -c \"exec tool x\"'";
    for shell in [&["sh"][..], &["dash"], &["bash"], &["zsh"], &["ksh"], &["busybox", "sh"]] {
        for (script, denied) in [
            ("tool x", 126),
            ("exec tool x", 126),
            ("tool x; exit $?", 126),
            ("(tool x)", 126),
            ("tool x | cat", 0),
            ("true | tool x", 126),
            ("x=$(tool x); echo \"$x\"; test \"$x\"", 1),
            ("tool x & wait $!", 126),
            ("if tool x; then echo yes; else echo no; exit 3; fi", 3),
            ("tool x && echo yes || exit 4", 4),
            (nested, 126),
            ("tool() { command tool \"$@\"; }; tool x", 126),
            ("unset LD_PRELOAD RAMPART_URL; tool x", 126),
            ("export RAMPART_MODE=disabled; sh -c 'tool x'", 126),
            ("LD_PRELOAD= RAMPART_MODE=disabled tool x", 126),
            ("env -i PATH=\"$PATH\" tool x", 126),
            ("env -i \"$(command -v sh)\" -c \"PATH=$PATH; tool x\"", 126),
            ("env -u LD_PRELOAD tool x", 126),
            ("exec 3<>home-file 4>&3; exec 3>&-; tool x", 126),
            ("cd /; tool x", 126),
        ] {
            let words = [shell, &["-c", script]].concat();
            check(&sandbox, &Case { words: &words, denied });
        }
    }
}

#[test]
fn a_script_is_asked_about_by_its_own_name_and_guarded_inside() {
    let sandbox = Sandbox::new();
    let sh = sandbox.text("tools/sh");
    sandbox.file("bin/with-shebang", format!("#!{sh}\ntool x\n"));
    let env = sandbox.text("tools/env");
    sandbox.file("bin/by-env", format!("#!{env} -S bash\nexec tool x\n"));
    for (script, denied) in [("with-shebang", 126), ("by-env", 126)] {
        check(&sandbox, &case(&["sh", "-c", script], denied));
        let server = Server::allowing();
        Run::guarded(&sandbox, &server.url, &["sh", "-c", script]).finish().success();
        assert_eq!(server.take_commands()[0], script);
        sandbox.take_marks();
    }
}

/// As in a sealed run (`cli/tests/process/seal/answers.rs`).
#[cfg(target_os = "linux")]
#[test]
fn a_rule_about_an_interpreter_knows_the_script_that_starts_it_by_name_and_no_other() {
    let sandbox = Sandbox::new();
    let (bash, env) = (sandbox.text("tools/bash"), sandbox.text("tools/env"));
    sandbox.file("bin/by-path", format!("#!{bash}\ntool x\n"));
    sandbox.file("bin/by-name", format!("#!{env} bash\ntool x\n"));
    let server = Server::judging(Transport::Unix, |command| !command.starts_with("bash"));
    Run::guarded(&sandbox, &server.url, &["sh", "-c", "by-path"]).finish().success();
    assert_eq!(sandbox.take_marks(), ["tool x"]);
    assert_eq!(server.take_commands(), ["by-path", "tool x"]);
    let denied = Run::guarded(&sandbox, &server.url, &["sh", "-c", "by-name"]).finish();
    assert_eq!((denied.code(), sandbox.take_marks()), (126, Vec::new()), "{denied:#?}");
    let asked = server.take_commands();
    assert_eq!(asked[0], "by-name");
    assert!(asked.len() == 2 && asked[1].starts_with("bash "), "{asked:?}");
}

#[test]
fn programs_that_start_others_report_the_refusal() {
    check_all(&[
        case(&["env", "tool", "x"], 126),
        case(&["nohup", "tool", "x"], 126),
        case(&["timeout", "20", "tool", "x"], 126),
        case(&["nice", "tool", "x"], 126),
        case(&["setsid", "-w", "tool", "x"], 126),
        case(&["stdbuf", "-o0", "tool", "x"], 126),
        case(&["find", "/", "-maxdepth", "0", "-exec", "tool", "x", ";"], 0),
        case(&["find", "/", "-maxdepth", "0", "!", "-exec", "tool", "x", ";", "-quit"], 0),
        case(&["sh", "-c", "echo x x x | xargs -n 1 -P 3 tool"], 126),
        case(&["sh", "-c", "echo x | xargs tool"], 126),
        case(&["gawk", "BEGIN { exit system(\"tool x\") != 0 }"], 1),
        case(&["mawk", "BEGIN { exit system(\"tool x\") != 0 }"], 1),
        case(&["fish", "-c", "tool x; or exit 5"], 5),
        case(&["busybox", "env", "tool", "x"], 126),
        case(&["busybox", "find", "/", "-maxdepth", "0", "-exec", "tool", "x", ";"], 0),
        case(&["perl", "-e", "exit(system('tool', 'x') == 0 ? 0 : 5)"], 5),
        case(&["perl", "-e", "exit(system('tool x') == 0 ? 0 : 5)"], 5),
        case(&["perl", "-e", "my $o = `tool x`; print $o; exit($? ? 5 : 0)"], 5),
        case(&["perl", "-e", "exec 'tool', 'x'; exit 7"], 7),
        case(&["perl", "-e", "open(my $f, '-|', 'tool', 'x') or exit 6; print <$f>"], 6),
        case(
            &["perl", "-e", "local %ENV = (PATH => $ENV{PATH}); exit(system('tool x') ? 5 : 0)"],
            5,
        ),
    ]);
}

#[test]
fn programs_that_use_a_shell_report_the_refusal() {
    if is_for_linux_alone(APPLES_SHELL) {
        return;
    }
    check_all(&[
        case(&["gawk", "BEGIN { c = \"cat; tool x\"; print \"in\" | c; exit close(c) != 0 }"], 1),
        case(
            &["gawk", "BEGIN { \"tool x\" | getline l; print l; exit close(\"tool x\") != 0 }"],
            1,
        ),
        case(
            &["mawk", "BEGIN { \"tool x\" | getline l; print l; exit close(\"tool x\") != 0 }"],
            1,
        ),
        case(&["perl", "-e", "exit(system('tool x 2>&1 <&0') == 0 ? 0 : 5)"], 5),
    ]);
}

#[test]
fn make_and_git_start_programs_in_their_own_ways() {
    let sandbox = Sandbox::new();
    sandbox.file("home/Makefile", "all: a b c\na b c:\n\t@tool x\nshell:\n\t@tool x; true\n");
    check(&sandbox, &case(&["make", "-s", "-j4"], 2));
    let shell = format!("SHELL={}", sandbox.text("tools/bash"));
    check(&sandbox, &case(&["make", "-s", "shell", &shell], 0));
    check(
        &sandbox,
        &case(
            &[
                "make",
                "-s",
                "-f",
                "/dev/null",
                "--eval",
                "x := $(shell tool x)\nx: ; @test -n '$(x)'",
            ],
            2,
        ),
    );
    let sh = sandbox.text("tools/sh");
    let script = format!(
        "d=$(mktemp -d) && cd $d && git {QUIET} init -q && printf '#!{sh}\\ntool x\\n' >.git/hooks/pre-commit && \
         python3 -c \"import os; os.chmod('.git/hooks/pre-commit', 0o755)\" && git {QUIET} commit -q --allow-empty -m m"
    );
    check(&sandbox, &case(&["sh", "-c", &script], 1));
}

/// Settings of git, instead of the user's.
const QUIET: &str =
    "-c user.name=n -c user.email=e@x -c commit.gpgsign=false -c init.defaultBranch=m";

#[test]
fn git_has_a_shell_start_aliases_and_pagers() {
    if is_for_linux_alone(APPLES_SHELL) {
        return;
    }
    let sandbox = Sandbox::new();
    check(&sandbox, &case(&["git", "-c", "alias.t=!tool x", "t"], 126));
    let script = format!(
        "d=$(mktemp -d) && cd $d && git {QUIET} init -q && git {QUIET} commit -q --allow-empty -m m && \
         exec python3 -c \"import pty; pty.spawn(['git', '-c', 'core.pager=tool x', 'log'])\""
    );
    check(&sandbox, &case(&["sh", "-c", &script], 0));
}

#[test]
fn node_reports_eperm() {
    let sandbox = Sandbox::new();
    for (script, denied) in [
        (
            "const r = c.spawnSync('tool', ['x']); if (r.error) { console.error(r.error.code); process.exit(9) }",
            9,
        ),
        (
            "try { c.execFileSync('tool', ['x']) } catch (e) { console.error(e.code); process.exit(9) }",
            9,
        ),
        // Node throws EPERM; it emits only ENOENT and EACCES as events.
        (
            "try { c.spawn('tool', ['x'], {stdio: 'inherit'}) } catch (e) { console.error(e.code); process.exit(9) }",
            9,
        ),
        (
            "try { c.execFile('tool', ['x'], {env: {PATH: process.env.PATH}}) } catch (e) { console.error(e.code); process.exit(9) }",
            9,
        ),
    ] {
        let script = format!("const c = require('child_process'); {script}");
        if let Some(finished) = check(&sandbox, &case(&["node", "-e", &script], denied)) {
            assert_eq!(finished.stderr.trim(), "EPERM");
        }
    }
}

#[test]
fn node_reports_the_status_of_its_shell() {
    if is_for_linux_alone(APPLES_SHELL) {
        return;
    }
    let sandbox = Sandbox::new();
    let script = "const c = require('child_process'); \
                  c.exec('tool x', {cwd: '/'}, e => process.exit(e ? e.code : 0))";
    if let Some(finished) = check(&sandbox, &case(&["node", "-e", script], 126)) {
        assert_eq!(finished.stderr.trim(), "");
    }
    let child = sandbox
        .file("home/child.js", "require('child_process').execSync('tool x', {stdio: 'ignore'})");
    let script = format!(
        "require('child_process').fork('{}', {{silent: true}}).on('exit', s => process.exit(s))",
        child.display()
    );
    check(&sandbox, &case(&["node", "-e", &script], 1));
}

#[test]
fn a_compiler_still_compiles() {
    let sandbox = Sandbox::new();
    let server = Server::allowing();
    sandbox.file(
        "home/hello.c",
        "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n",
    );
    let words = ["gcc", "-O2", "-o", "hello", "hello.c"];
    Run::guarded(&sandbox, &server.url, &words).finish().success();
    let asked = server.take_commands();
    // By its path in /usr, macOS counts collect2 as Apple's, so that it is not followed.
    let least = if System::is_macos() { 3 } else { 4 };
    assert!(asked.len() >= least, "cc1, as, collect2, ld: {asked:#?}");
    let hello = sandbox.text("home/hello");
    let finished = Run::guarded(&sandbox, &server.url, &["sh", "-c", &hello]).finish().success();
    assert_eq!(finished.stdout, "hello\n");
    let server = Server::denying_any_with("cc1");
    sandbox.file("home/denied.c", "int main(void) { return 0; }\n");
    let words = ["gcc", "-o", "denied", "denied.c"];
    assert_eq!(Run::guarded(&sandbox, &server.url, &words).finish().code(), 1);
    assert!(!sandbox.path("home/denied").exists());
}

#[test]
fn java_starts_programs_through_a_helper() {
    if needs_a_mac_or_linux("its helper is in /usr, where a Mac has Apple's programs only") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.file(
        "home/Start.java",
        "class Start { public static void main(String[] a) throws Exception {\n\
         try { System.exit(new ProcessBuilder(\"tool\", \"x\").inheritIO().start().waitFor()); }\n\
         catch (java.io.IOException e) { System.err.println(e.getMessage()); System.exit(9); } } }\n",
    );
    if installed("javac").is_none() {
        println!("skipped, for there is no javac");
        return;
    }
    Run::bare(&sandbox, &["javac", "Start.java"]).finish().success();
    let words = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "Start"];
    if let Some(denied) = check(&sandbox, &case(&words, 9)) {
        assert!(denied.stderr.contains("Operation not permitted"), "{denied:#?}");
    }
}
