//! Where sealed runs are started, and what is started in them.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;

use super::life::Running;
use super::{Sealed, text};
use crate::preload::guard;
use crate::server::{TOKEN, serve};
use crate::team::library;
use crate::world::{finished, stderr, stdout, wait_until};

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// A sealed command with the real library.
fn with_real_library(sealed: &Sealed, flags: &[&str], words: &[&str]) -> Command {
    let mut command = sealed.command(flags, words);
    let own = sealed.0.path("real.so");
    std::fs::copy(library(), &own).unwrap();
    command.env("RAMPART_LIBRARY", own);
    command
}

/// The same of an ordinary user, in a directory of theirs.
pub fn as_nobody(sealed: &Sealed, flags: &[&str], words: &[&str]) -> Command {
    as_user(65534, &[], sealed, flags, words)
}

/// The same of this user, if root runs the tests, started by a wrapper.
pub fn as_user(
    user: u32,
    wrapper: &[&str],
    sealed: &Sealed,
    flags: &[&str],
    words: &[&str],
) -> Command {
    let command = with_real_library(sealed, flags, words);
    let [to_user, to_group] = ["reuid", "regid"].map(|id| format!("--{id}={user}"));
    let mut all = vec!["env"];
    if is_root() {
        let (home, owner) = (sealed.0.path(""), format!("{user}:{user}"));
        // The server of an earlier run may just be removing its folder.
        wait_until("their home", || {
            Command::new("chown").args(["-R", &owner, text(&home)]).status().unwrap().success()
        });
        all = vec!["setpriv", &to_user, &to_group, "--clear-groups"];
    }
    all.extend(wrapper);
    sealed.wrapped(&all, &command)
}

/// The audit cannot grow by a byte then, and each of its lines comes before the answer.
#[test]
fn a_limit_of_file_sizes_ends_neither_the_server_nor_the_keeper() {
    let sealed = Sealed::new();
    let script = sealed.script("forbidden; permitted; forbidden; echo $?");
    for (seal, limit) in [("--seal=off", "-f"), ("--seal=off", "-Sf"), ("--seal=on", "-f")] {
        let wrapper = ["sh", "-c", &format!("ulimit {limit} 0; exec \"$@\""), "sh"];
        let flags = [seal, "--audit-sync"];
        let words = ["sh", text(&script)];
        let output = finished(&mut as_user(65534, &wrapper, &sealed, &flags, &words));
        assert_eq!(stdout(&output), "126\n", "{seal} {limit}: {output:?}");
        assert!(sealed.ran("permitted") && !sealed.ran("forbidden"), "{seal} {limit}: {output:?}");
        assert!(!stderr(&output).contains("unchecked"), "{seal} {limit}: {output:?}");
    }
}

/// Their loader leaves the library out, and takes it from the environment, too.
#[test]
fn a_command_with_rights_of_its_own_is_told_that_what_it_starts_runs_unchecked() {
    const TOLD: &str = "has rights of its own";
    if !is_root() {
        return; // Only root can give a program capabilities.
    }
    let sealed = Sealed::new();
    let shell = sealed.0.path("bin/shell");
    std::fs::copy("/bin/sh", &shell).unwrap();
    let line = ["-c", "forbidden; echo $?"];
    for (seal, wrapper, is_told) in [
        ("--seal=auto", "", true),
        ("--seal=off", "", true),
        ("--seal=auto", "env", true),
        ("--seal=on", "", false),
    ] {
        let words = [&[wrapper, text(&shell)][usize::from(wrapper.is_empty())..], &line].concat();
        let mut run = as_nobody(&sealed, &[seal], &words);
        // A change of the owner takes them away.
        let given = Command::new("setcap").arg("cap_net_bind_service=+ep").arg(&shell).status();
        if !given.is_ok_and(|status| status.success()) {
            println!("left out: there is no setcap, or this file system has no capabilities");
            return;
        }
        let output = finished(&mut run);
        assert_eq!(stderr(&output).contains(TOLD), is_told, "{seal} {wrapper}: {output:?}");
        assert_eq!(sealed.ran("forbidden"), is_told, "{seal} {wrapper}: {output:?}");
    }
    // The library is in what others start, and in what root starts.
    for run in [
        &mut as_nobody(&sealed, &["--seal=auto"], &["sh", line[0], line[1]]),
        &mut with_real_library(&sealed, &["--seal=auto"], &[text(&shell), line[0], line[1]]),
    ] {
        let output = finished(run);
        assert!(!stderr(&output).contains(TOLD) && !sealed.ran("forbidden"), "{output:?}");
    }
}

#[test]
fn who_ended_before_the_audit_was_written_has_its_parent_there() {
    let sealed = Sealed::new();
    let script = sealed.script("echo $$; forbidden; permitted; forbidden; true");
    let mut seen = 0;
    for seal in ["--seal=off", "--seal=on"] {
        let output = finished(&mut with_real_library(&sealed, &[seal], &["sh", text(&script)]));
        let shell: i64 = stdout(&output).trim().parse().unwrap();
        let lines = sealed.0.audit_of(seen + 3).split_off(seen);
        seen += 3;
        for line in lines {
            let (request, is_refused) = (&line["request"], line["decision"]["action"] == "deny");
            // What the kernel asks about is looked up only if it is refused.
            if is_refused || seal == "--seal=off" {
                assert_eq!(request["parent"], shell, "{seal}: {request}");
            }
        }
    }
}

/// A line is judged by recursion, and its stack is not the one that a shell has limited.
#[test]
fn a_small_stack_ends_neither_the_server_nor_the_keeper() {
    let sealed = Sealed::new();
    let (open, close) = ("(".repeat(1000), ")".repeat(1000));
    let script = format!("forbidden; permitted; sh -c ': $(({open}1{close}))'; forbidden; echo $?");
    let script = sealed.script(&script);
    for (seal, limit) in [("--seal=off", 64), ("--seal=off", 1024), ("--seal=on", 64)] {
        let wrapper = ["sh", "-c", &format!("ulimit -s {limit}; exec \"$@\""), "sh"];
        let words = ["sh", text(&script)];
        let output = finished(&mut as_user(65534, &wrapper, &sealed, &[seal], &words));
        assert_eq!(stdout(&output), "126\n", "{seal} {limit}: {output:?}");
        assert!(sealed.ran("permitted") && !sealed.ran("forbidden"), "{seal} {limit}: {output:?}");
        assert!(!stderr(&output).contains("unchecked"), "{seal} {limit}: {output:?}");
    }
}

#[test]
fn an_ordinary_user_can_seal_a_run_which_gains_no_rights_then() {
    let sealed = Sealed::new();
    let script = sealed.script("grep NoNewPrivs /proc/self/status; permitted; forbidden; echo $?");
    let output = finished(&mut as_nobody(&sealed, &[], &["sh", text(&script)]));
    assert_eq!(stdout(&output), "NoNewPrivs:\t1\n126\n", "{}", stderr(&output));
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"));
    // Nothing is asked about files that the user cannot reach.
    sealed.0.write("locked/permitted", "");
    std::fs::set_permissions(sealed.0.path("locked"), std::fs::Permissions::from_mode(0o000))
        .unwrap();
    let script = "PATH=$HOME/locked:$PATH; permitted; exit 0";
    let script = sealed.script(script);
    let lines = sealed.0.audit_of(3).len();
    finished(&mut as_nobody(&sealed, &[], &["sh", text(&script)]));
    let asked = |line: &serde_json::Value| {
        line["request"]["command"].as_str().unwrap().starts_with("permitted")
    };
    wait_until("the record of it", || sealed.0.audit()[lines..].iter().any(asked));
    let all = sealed.0.audit();
    assert_eq!(all[lines..].iter().filter(|line| asked(line)).count(), 1, "{all:?}");
}

#[test]
fn what_a_process_starts_that_cannot_be_read_is_refused_and_that_is_told() {
    let sealed = Sealed::new();
    let hidden = "import ctypes, os, sys\n\
        assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0\n\
        try: os.execvp(sys.argv[1], sys.argv[1:])\n\
        except OSError as error: print(error.errno)\n";
    let hidden = sealed.0.write("hidden.py", hidden);
    let output = finished(&mut as_nobody(&sealed, &[], &["python3", text(&hidden), "permitted"]));
    assert_eq!(stdout(&output), "1\n", "{}", stderr(&output));
    assert!(stderr(&output).contains("does not let itself be read"), "{}", stderr(&output));
    assert!(!sealed.ran("permitted"));
    let is_it = |line: &serde_json::Value| line["request"]["event"] == "unreadable";
    wait_until("the record of it", || sealed.0.audit().iter().any(is_it));
    // The same with a server that was there before.
    let (serving, server) = serve();
    let url = format!("http://{}", server.tcp);
    let words = ["/usr/bin/python3", text(&hidden), "permitted"];
    let mut command = as_nobody(&sealed, &["--seal", "--url", &url], &words);
    let output = finished(command.env("RAMPART_TOKEN", TOKEN));
    assert_eq!(stdout(&output), "1\n", "{}", stderr(&output));
    assert!(!sealed.ran("permitted"));
    wait_until("the server's record of it", || serving.audit().iter().any(is_it));
}

#[test]
fn in_roots_run_who_changes_its_user_is_told_of_its_refusal_and_of_nothing_else() {
    if !is_root() {
        eprintln!("left out: it takes root");
        return;
    }
    let sealed = Sealed::new();
    let changes = "import os, sys\n\
        os.setgid(65534); os.setuid(65534)\n\
        try: os.execvp(sys.argv[1], sys.argv[1:])\n\
        except OSError as error: print(error.errno)\n";
    let changes = sealed.0.write("changes.py", changes);
    std::fs::set_permissions(sealed.0.path(""), std::fs::Permissions::from_mode(0o777)).unwrap();
    let words = |name| ["/usr/bin/python3", text(&changes), name];
    let run = |name| finished(&mut with_real_library(&sealed, &[], &words(name)));
    let output = run("permitted");
    assert!(output.status.success() && sealed.ran("permitted"), "{}", stderr(&output));
    let output = run("forbidden");
    assert_eq!(stdout(&output), "1\n", "{}", stderr(&output));
    assert!(stderr(&output).contains("Do something else"), "{}", stderr(&output));
    assert_eq!(stderr(&output).matches("rampart: blocked").count(), 1, "{}", stderr(&output));
    assert!(!sealed.ran("forbidden"));
    // In many containers root may not read other users' processes.
    let command = with_real_library(&sealed, &[], &words("permitted"));
    let wrapper = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
    let output = finished(&mut sealed.wrapped(&wrapper, &command));
    assert_eq!(stdout(&output), "1\n", "{}", stderr(&output));
    assert!(stderr(&output).contains("does not let itself be read"), "{}", stderr(&output));
    assert!(!sealed.ran("permitted"));
}

#[test]
fn where_proc_has_other_ids_than_the_kernel_nothing_is_sealed_and_that_is_said() {
    let sealed = Sealed::new();
    // A PID namespace that still has the /proc of the one around it.
    let inside = ["unshare", "--user", "--map-root-user", "--pid", "--fork"];
    if !Command::new(inside[0]).args(&inside[1..]).arg("true").status().unwrap().success() {
        eprintln!("left out: no user namespaces here");
        return;
    }
    let run = |flag: &str, words: &[&str]| {
        finished(&mut sealed.wrapped(&inside, &sealed.command(&[flag], words)))
    };
    let output = run("--seal=on", &["bin/permitted"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("/proc is"), "{}", stderr(&output));
    assert!(!sealed.ran("permitted"));
    let source = "#include <unistd.h>\n\
        int main(int count, char **words) { execv(words[1], words + 1); return 5; }\n";
    let starts = sealed.compiled("starts", source);
    let output = run("--seal=auto", &[text(&starts), "bin/permitted"]);
    assert!(stderr(&output).contains("cannot be sealed: /proc is"), "{}", stderr(&output));
    assert!(output.status.success() && sealed.ran("permitted"), "{}", stderr(&output));
}

#[test]
fn who_else_has_the_kernel_ask_is_said() {
    let sealed = Sealed::new();
    // A filter that asks about nothing, whose listener stays open.
    let listens = sealed.compiled(
        "listens",
        "#include <fcntl.h>\n#include <linux/filter.h>\n#include <linux/seccomp.h>\n\
         #include <sys/prctl.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n\
         int main(int count, char **words) {\n\
         struct sock_filter code[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};\n\
         struct sock_fprog program = {1, code};\n\
         prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);\n\
         int listener = syscall(SYS_seccomp, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);\n\
         fcntl(dup2(listener, 9), F_SETFD, 0);\n\
         execv(words[1], words + 1); return 5; }\n",
    );
    let command = sealed.command(&["--seal=on"], &["bin/permitted"]);
    let output = finished(&mut sealed.wrapped(&[text(&listens)], &command));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("container or sandbox around"), "{}", stderr(&output));
    assert!(!sealed.ran("permitted"));
}

#[test]
fn an_audit_that_cannot_be_written_is_said_once() {
    let sealed = Sealed::new();
    std::fs::create_dir_all(sealed.0.home().join("audit.jsonl")).unwrap();
    let output = sealed.run(&["permitted"]);
    assert!(sealed.ran("permitted"), "{output:?}");
    let told = stderr(&output);
    assert_eq!(told.matches("cannot write the audit file").count(), 1, "{told}");
}

#[test]
fn a_run_that_cannot_begin_for_want_of_processes_or_descriptors_says_so() {
    let sealed = Sealed::new();
    // Of a user that nobody else is, so that each number is the limit once.
    let run = |limit: &str, flag: &str| {
        finished(&mut as_user(64_913, &["prlimit", limit], &sealed, &[flag], &["permitted"]))
    };
    let mut told = Vec::new();
    for (kind, numbers) in [("nproc", 1..=24), ("nofile", 4..=22)] {
        for (number, flag) in numbers.flat_map(|it| [(it, "--seal=on"), (it, "--seal=off")]) {
            let limit = format!("--{kind}={number}");
            let output = run(&limit, flag);
            let (told_why, ran) = (stderr(&output), sealed.ran("permitted"));
            if output.status.success() {
                assert!(ran, "{limit} {flag} {told_why}");
                continue;
            }
            // Whoever runs the tests may have left descriptors open: the loader has none then.
            if !ran && told_why.contains("error while loading shared libraries") {
                continue;
            }
            assert!(!ran && told_why.contains("rampart: "), "{limit} {flag} {told_why}");
            let is_why = told_why.contains("(ulimit") || told_why.contains("Too many open files");
            assert!(is_why && !told_why.contains("a bug"), "{limit} {flag} {told_why}");
            told.push((kind, flag, told_why));
        }
    }
    for (kind, flag, word) in [
        ("nproc", "--seal=on", "ulimit -u"),
        ("nproc", "--seal=off", "ulimit -u"),
        ("nofile", "--seal=on", "ulimit -n"),
        ("nofile", "--seal=off", "ulimit -n"),
    ] {
        let is_it = |it: &&(&str, &str, String)| it.0 == kind && it.1 == flag;
        assert!(told.iter().filter(is_it).any(|it| it.2.contains(word)), "{told:?}");
    }
}

/// Its score is by size, and among many small processes the guard is the largest.
#[test]
fn where_memory_is_short_the_kernel_ends_others_before_the_guard() {
    let adjusted = |process: &str| -> i32 {
        let file = format!("/proc/{process}/oom_score_adj");
        std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
    };
    let sealed = Sealed::new();
    let running = Running::start(&sealed, "read x");
    let home = format!("HOME={}", sealed.0.path("").display());
    let is_server = |process: &String| {
        let read = |file| std::fs::read_to_string(format!("/proc/{process}/{file}"));
        let environment = read("environ").unwrap_or_default();
        let is_ours = environment.split('\0').any(|it| it == home.trim_end_matches('/'));
        is_ours && read("comm").is_ok_and(|name| name == "rampart-policy\n")
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let mut all = all.filter_map(|it| it.file_name().into_string().ok());
    let server = all.find(is_server).expect("the run's server");
    for guard in [&server, &running.keeper] {
        assert!(adjusted(guard) < adjusted(&running.command), "{guard}");
    }
    drop(running);
    // An ordinary user may only raise it.
    let script = sealed.script("cat /proc/self/oom_score_adj /proc/$PPID/oom_score_adj");
    let own = adjusted("self");
    for flag in ["--seal=on", "--seal=off"] {
        let output = finished(&mut as_nobody(&sealed, &[flag], &["sh", text(&script)]));
        let said = format!("{}\n{own}\n", own + 300);
        assert!(!is_root() || stdout(&output) == said, "{flag} {output:?}");
    }
}

/// Neither the audit nor a long command nor one of many expansions waits for a thread that nobody
/// can have.
#[test]
fn where_a_user_has_all_their_processes_commands_are_judged_and_recorded_as_ever() {
    if !is_root() {
        eprintln!("left out: it takes root, for a user who has no other process");
        return;
    }
    let sealed = Sealed::new();
    let full = "import os, sys\n\
        reader, writer = os.pipe()\n\
        while True:\n    \
            try: child = os.fork()\n    \
            except OSError: break\n    \
            if child == 0:\n        \
                os.close(writer); os.read(reader, 1); os._exit(0)\n\
        try: os.execvp(sys.argv[1], sys.argv[1:])\n\
        except OSError as error: print(error.errno)\n";
    let full = sealed.0.write("full.py", full);
    let long = "x".repeat(8_000);
    let expanded = ": $(:);".repeat(70) + "f''orbidden";
    for (user, flag) in [(64_914, "--seal=off"), (64_915, "--seal=on")] {
        for (words, is_refused) in [
            (&["permitted", "short"][..], false),
            (&["permitted", &long], false),
            (&["forbidden", &long], true),
            (&["sh", "-c", &expanded], true),
        ] {
            let lines = sealed.0.audit().len();
            let all: Vec<&str> = ["python3", text(&full)].iter().chain(words).copied().collect();
            let output =
                finished(&mut as_user(user, &["prlimit", "--nproc=40"], &sealed, &[flag], &all));
            let told = stderr(&output);
            assert_eq!(told.contains("Do something else"), is_refused, "{flag} {told}");
            assert_eq!(sealed.ran("permitted"), !is_refused, "{flag} {told}");
            assert!(!sealed.ran("forbidden"), "{flag} {told}");
            let verdict = if is_refused { "deny" } else { "allow" };
            // The last lines are written when the run ends.
            wait_until("its end", || !is_there(user));
            let all = sealed.0.audit();
            let is_recorded = |line: &serde_json::Value| line["decision"]["action"] == verdict;
            // Python tries each directory of PATH.
            assert!(all.len() > lines && all[lines..].iter().all(is_recorded), "{flag} {all:?}");
        }
    }
}

/// Whether a user has a process.
fn is_there(user: u32) -> bool {
    let is_theirs = |entry: std::fs::DirEntry| entry.metadata().is_ok_and(|it| it.uid() == user);
    std::fs::read_dir("/proc").unwrap().flatten().any(is_theirs)
}

#[test]
fn where_no_process_may_be_traced_a_refused_line_fails_and_the_reason_is_told() {
    let sealed = Sealed::new();
    // ptrace(2) fails, by its number; process memory can still be read.
    let closed = sealed.failing_call(101, 117);
    let script = sealed.script("permitted; sh -c 'forbidden x'; echo $?\n");
    let command = sealed.command(&["--seal=on"], &["sh", text(&script)]);
    let output = finished(&mut sealed.wrapped(&["/usr/bin/python3", text(&closed)], &command));
    assert_eq!(stdout(&output), "126\n", "{}", stderr(&output));
    assert!(stderr(&output).contains("Do something else"), "{}", stderr(&output));
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"));
}

#[test]
fn a_run_is_sealed_as_the_flag_says_and_else_as_the_variable_does() {
    let sealed = Sealed::new();
    let show = "grep -c '^Seccomp:.*2' /proc/self/status";
    let run = |flags: &[&str], variable: Option<&str>| {
        let mut command = sealed.0.rampart(["preload"]);
        command.args(flags).args(["--", "sh", "-c", show]);
        finished(command.envs(variable.map(|value| ("RAMPART_SEAL", value))))
    };
    let outside = stdout(&finished(Command::new("sh").args(["-c", show])));
    for (flags, variable, sealed) in [
        (&[][..], None, false),
        (&["--seal"], None, true),
        (&["--seal=on"], Some("off"), true),
        (&["--seal=off"], Some("on"), false),
        (&[], Some("on"), true),
        (&[], Some(""), false),
        (&["--seal", "--mode", "disabled"], None, false),
    ] {
        let output = run(flags, variable);
        let expected = if sealed { "1\n" } else { &outside };
        assert_eq!(stdout(&output), expected, "{flags:?} {variable:?} {}", stderr(&output));
    }
    let output = run(&[], Some("maybe"));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("RAMPART_SEAL"), "{}", stderr(&output));
}

#[test]
fn what_the_library_cannot_see_alone_is_sealed_by_itself_and_that_is_said() {
    let sealed = Sealed::new();
    let agent = sealed.0.write("bin/codex", "#!/bin/sh\npermitted\nforbidden\nexit 5\n");
    std::fs::set_permissions(agent, std::fs::Permissions::from_mode(0o755)).unwrap();
    let source = "#include <unistd.h>\n\
        int main(int count, char **words) { execvp(words[1], words + 1); return 5; }\n";
    let starts = sealed.compiled("starts", source);
    let path = format!("{}:/usr/bin:/bin", sealed.0.path("bin").display());
    let run = |flag: &str, words: &[&str]| {
        let mut command = sealed.0.rampart(["preload", "--policy", "p.yaml", flag, "--"]);
        finished(command.args(words).env("PATH", &path))
    };
    let static_program = [text(&starts), "forbidden"];
    for (words, why) in [
        (&["codex"][..], "codex is a static program"),
        (&["env", "A=1", "codex"], "codex is a static program"),
        (&static_program, "a static program loads no library"),
    ] {
        let output = run("--debug", words);
        assert_eq!(output.status.code(), Some(5), "{words:?}");
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert!(!sealed.ran("forbidden"), "{words:?}");
        let output = run("--seal=off", words);
        assert!(!stderr(&output).contains(why), "{}", stderr(&output));
        assert!(sealed.ran("forbidden"), "{words:?}");
    }
}

#[test]
fn a_sealed_run_inside_one_is_told_why_not_and_others_run_as_ever() {
    let sealed = Sealed::new();
    let rampart = env!("CARGO_BIN_EXE_rampart");
    let nested = |flag: &str| {
        let script = format!("{rampart} preload {flag} -- permitted; echo $?");
        let output = sealed.run(&["sh", "-c", &script]);
        (stdout(&output), stderr(&output))
    };
    let (said, why) = nested("--seal=on");
    assert!(said == "2\n" && why.contains("already in a sealed run"), "{said}{why}");
    let doctor = sealed.run(&["sh", "-c", &format!("{rampart} doctor --agent codex")]);
    assert!(stdout(&doctor).contains("sealed already"), "{}", stdout(&doctor));
    assert!(!sealed.ran("permitted"));
    for flag in ["--seal=auto", ""] {
        assert_eq!(nested(flag).0, "0\n");
        assert!(sealed.ran("permitted"));
    }
    assert!(guard(&sealed.0, &[], "exit 0").status.success());
}

#[test]
fn what_a_set_user_id_program_starts_is_asked_about_in_roots_run() {
    if !is_root() {
        eprintln!("left out: it takes root");
        return;
    }
    let sealed = Sealed::new();
    let source = "#include <unistd.h>\n\
        int main(int count, char **words) { setuid(0); execvp(words[1], words + 1); return 5; }\n";
    let raised = sealed.compiled("raised", source);
    std::fs::set_permissions(&raised, std::fs::Permissions::from_mode(0o4755)).unwrap();
    std::fs::set_permissions(sealed.0.path(""), std::fs::Permissions::from_mode(0o777)).unwrap();
    for (name, status) in [("permitted", 0), ("forbidden", 5)] {
        let output = sealed.run(&["setpriv", "--reuid", "65534", text(&raised), name]);
        assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
        assert_eq!(sealed.ran(name), status == 0);
    }
}

#[test]
fn neither_a_cleared_environment_nor_other_namespaces_hide_anything() {
    let sealed = Sealed::new();
    let bin = sealed.0.path("bin");
    let path = format!("PATH={}:/usr/sbin:/usr/bin:/bin", bin.display());
    let calls = sealed.script("permitted; forbidden; exit 0");
    let calls = text(&calls);
    let mut wrappers = vec![
        vec!["env", "-i", &path, "sh", calls],
        vec!["env", "-u", "LD_PRELOAD", "sh", calls],
        vec!["unshare", "-U", "-r", "sh", calls],
        vec!["unshare", "-U", "-r", "-p", "-f", "sh", calls],
        vec!["unshare", "-U", "-r", "-m", "-p", "-f", "--mount-proc", "sh", calls],
        vec!["unshare", "-U", "-r", "-n", "sh", calls],
    ];
    if is_root() {
        wrappers.push(vec!["setpriv", "--reuid", "65534", "sh", calls]);
        wrappers.push(vec!["env", "chroot", "/", "sh", calls]);
    }
    std::fs::set_permissions(sealed.0.path(""), std::fs::Permissions::from_mode(0o777)).unwrap();
    for words in wrappers {
        let mut bare = Command::new(words[0]);
        bare.args(&words[1..words.len() - 2]).arg("permitted").env("PATH", &path[5..]);
        finished(&mut bare);
        // Not every machine permits unprivileged namespaces.
        if !sealed.ran("permitted") {
            continue;
        }
        let output = finished(sealed.command(&[], &words).env("PATH", &path[5..]));
        assert_eq!(output.status.code(), Some(0), "{words:?} {}", stderr(&output));
        assert!(sealed.ran("permitted") && !sealed.ran("forbidden"), "{words:?}");
    }
}

#[test]
fn where_no_process_may_be_read_a_run_is_not_sealed_and_that_is_said() {
    let sealed = Sealed::new();
    // As with `ptrace_scope` 2 and in many containers: process_vm_readv(2) fails, by its number.
    let closed = sealed.failing_call(310, 270);
    let agent = sealed.mark_leaver("codex");
    let run = |flag: &str, words: &[&str]| {
        let command = sealed.command(&[flag], words);
        finished(&mut sealed.wrapped(&["/usr/bin/python3", text(&closed)], &command))
    };
    let output = run("--seal=on", &["permitted"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("ptrace_scope"), "{}", stderr(&output));
    assert!(!sealed.ran("permitted"));
    // If the command needs the seal that is reported, and the run goes on without it.
    let output = run("--seal=auto", &[text(&agent)]);
    assert!(stderr(&output).contains("ptrace_scope"), "{}", stderr(&output));
    assert!(output.status.success() && sealed.ran("codex"), "{}", stderr(&output));
}
