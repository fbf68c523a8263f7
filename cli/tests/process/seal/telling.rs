//! How a refusal is reported without the library, or if it cannot report.

use std::process::Output;

use super::ways::STARTS;
use super::{Sealed, text};
use crate::team::library;
use crate::world::{finished, stderr, stdout};

const LINE: &str = "permitted; forbidden";
const WHY: &str = "rampart: blocked this shell command: Do something else [no-forbidden]\n\
    rampart: It did not run. ";

/// Starts a command from a static program, in a given way.
fn start(sealed: &Sealed, flags: &[&str], way: &str, words: &[&str]) -> Output {
    let starts = sealed.0.path("starts");
    let starts = if starts.exists() { starts } else { sealed.compiled("starts", STARTS) };
    let flags = [&["--seal"], flags].concat();
    finished(&mut sealed.command(&flags, &[&[text(&starts), way], words].concat()))
}

#[test]
fn a_refused_line_is_a_command_that_says_why_and_ends_with_126_whatever_starts_it() {
    let sealed = Sealed::new();
    let ways = ["execve", "thread", "vfork", "fork", "posix_spawn", "fexecve", "raw"];
    for way in ways {
        let output = start(&sealed, &[], way, &["/bin/sh", "-c", LINE]);
        assert!(!sealed.ran("permitted") && !sealed.ran("forbidden"), "{way}");
        if cfg!(not(target_arch = "x86_64")) && way == "raw" {
            continue;
        }
        assert_eq!(output.status.code(), Some(126), "{way}: {output:?}");
        assert_eq!(stdout(&output), "", "{way}");
        assert!(stderr(&output).starts_with(WHY), "{way}: {}", stderr(&output));
        assert_eq!(stderr(&output).matches('\n').count(), 2, "{way}: {}", stderr(&output));
        let output = start(&sealed, &[], way, &["/bin/sh", "-c", "permitted; exit 3"]);
        assert!(sealed.ran("permitted"), "{way}");
        assert_eq!(output.status.code(), Some(3), "{way}");
    }
    // Each was asked about once.
    let denied = |line: &&serde_json::Value| line["decision"]["action"] == "deny";
    assert_eq!(sealed.0.audit().iter().filter(denied).count(), ways.len());
}

#[test]
fn a_refusal_looks_as_the_flag_says() {
    let sealed = Sealed::new();
    let forbidden = sealed.0.path("bin/forbidden");
    let program = [text(&forbidden), "one"];
    let line = ["/bin/sh", "-c", LINE];
    let short = "Do something else [no-forbidden]\n";
    for (flag, words, status, said, lines) in [
        ("--refusal=errno", &line[..], 1, "EPERM\n", 1),
        ("--refusal=errno", &program, 1, "EPERM\n", 1),
        ("--refusal=shell", &line, 126, "", 2),
        ("--refusal=shell", &program, 1, "EPERM\n", 2),
        ("--refusal=message", &line, 126, "", 2),
        ("--refusal=message", &program, 126, "", 2),
    ] {
        for way in ["vfork", "execve", "posix_spawn"] {
            let output = start(&sealed, &[flag], way, words);
            let told = stderr(&output);
            let looks = (output.status.code(), stdout(&output), told.matches('\n').count());
            // `starts` exits with 1 if its call fails.
            assert_eq!(looks, (Some(status), said.to_owned(), lines), "{flag} {words:?} {told}");
            assert!(told.contains(short), "{flag} {words:?} {told}");
            assert!(!sealed.ran("permitted") && !sealed.ran("forbidden"), "{flag}");
        }
    }
    let starts = sealed.0.path("starts");
    let mut silent = sealed.command(&[], &[&[text(&starts), "fork"], &line[..]].concat());
    let output = finished(silent.env("RAMPART_NOTICE", "0"));
    assert_eq!((output.status.code(), stderr(&output)), (Some(126), String::new()));
}

#[test]
fn where_nothing_but_one_line_is_allowed_the_reason_is_told_all_the_same() {
    let sealed = Sealed::new();
    let policy = "version: \"1\"\ndefault_action: deny\npolicies:\n  - name: only\n    match: { tool: exec }\n    \
        rules:\n      - action: allow\n        when: { command_matches: [\"python3 *\", \"permitted\"] }\n";
    sealed.0.write("p.yaml", policy);
    let script = "import os, subprocess\n\
        print(os.system('forbidden'), flush=True)\n\
        print(subprocess.run('forbidden', shell=True, close_fds=False).returncode, flush=True)\n\
        print(subprocess.run(['sh', '-c', 'forbidden']).returncode, flush=True)\n\
        print(os.popen('forbidden').close(), flush=True)\n\
        print(os.system('permitted'), flush=True)\n";
    let script = sealed.0.write("calls.py", script);
    let mut command = sealed.command(&[], &["python3", text(&script)]);
    let output = finished(command.env("RAMPART_LIBRARY", library()));
    let refused = 126 << 8;
    assert_eq!(
        stdout(&output),
        format!("{refused}\n126\n126\n{refused}\n0\n"),
        "{}",
        stderr(&output)
    );
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"));
    let why = "rampart: blocked this shell command: ";
    assert_eq!(stderr(&output).matches(why).count(), 4, "{}", stderr(&output));
    // Asked once about each, by the kernel.
    assert!(sealed.0.audit_of(6).iter().all(|line| line["request"]["by"] == "kernel"));
}

#[test]
fn what_would_not_have_been_the_programs_stderr_gets_nothing_and_a_full_one_holds_nobody() {
    let sealed = Sealed::new();
    let odd = sealed.compiled(
        "odd",
        r#"#include <fcntl.h>
        #include <stdio.h>
        #include <string.h>
        #include <unistd.h>
        int main(int count, char **words)
        {
            char *line[] = {"/bin/sh", "-c", "permitted; forbidden", 0};
            int ends[2];
            if (!strcmp(words[1], "closed")) close(2);
            if (!strcmp(words[1], "own")) {
                dup2(open(words[2], O_WRONLY | O_CREAT, 0600), 2);
                fcntl(2, F_SETFD, FD_CLOEXEC);
            }
            if (!strcmp(words[1], "file")) {
                dup2(open(words[2], O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
                write(2, "before\n", 7);
            }
            if (!strcmp(words[1], "full")) {
                pipe(ends);
                fcntl(ends[1], F_SETFL, O_NONBLOCK);
                while (write(ends[1], "x", 1) == 1) ;
                fcntl(ends[1], F_SETFL, 0);
                dup2(ends[1], 2);
            }
            if (!strcmp(words[1], "gone")) {
                pipe(ends);
                close(ends[0]);
                dup2(ends[1], 2);
            }
            execv(line[0], line);
            return 5;
        }"#,
    );
    let file = sealed.0.path("file");
    for how in ["closed", "own", "full", "gone", "file"] {
        let output = sealed.run(&[text(&odd), how, text(&file)]);
        assert_eq!(output.status.code(), Some(126), "{how}: {output:?}");
        assert_eq!(stderr(&output), "", "{how}");
        assert!(!sealed.ran("permitted") && !sealed.ran("forbidden"), "{how}");
        if how == "own" {
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
        }
    }
    // A shared file offset continues where it was.
    let said = std::fs::read_to_string(&file).unwrap();
    assert!(said.starts_with("before\nrampart: blocked this shell command"), "{said}");
}

#[test]
fn a_process_that_another_traces_is_told_and_its_call_fails() {
    let sealed = Sealed::new();
    let traced = sealed.compiled(
        "traced",
        r#"#include <signal.h>
        #include <sys/ptrace.h>
        #include <sys/wait.h>
        #include <unistd.h>
        int main(void)
        {
            char *line[] = {"/bin/sh", "-c", "permitted; forbidden", 0};
            int status, child = fork();
            if (!child) {
                ptrace(PTRACE_TRACEME, 0, 0, 0);
                raise(SIGSTOP);
                execv(line[0], line);
                _exit(5);
            }
            while (wait(&status) > 0 && WIFSTOPPED(status))
                ptrace(PTRACE_CONT, child, 0, 0);
            return WEXITSTATUS(status);
        }"#,
    );
    let output = sealed.run(&[text(&traced)]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(stderr(&output).starts_with(WHY), "{}", stderr(&output));
    assert!(!sealed.ran("permitted") && !sealed.ran("forbidden"));
}

#[test]
fn many_that_are_refused_at_once_are_all_told_and_signals_change_nothing() {
    let sealed = Sealed::new();
    let many = sealed.compiled(
        "many",
        r#"#include <pthread.h>
        #include <signal.h>
        #include <spawn.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/time.h>
        #include <sys/wait.h>
        #include <unistd.h>
        static volatile int good, bad;
        static void tick(int unused) {}
        static void *start(void *unused)
        {
            char *line[] = {"/bin/sh", "-c", "permitted; forbidden", 0};
            char *fine[] = {"/bin/sh", "-c", "exit 7", 0};
            for (int i = 0; i < 20; i++) {
                pid_t pid;
                int status = -1;
                if (i & 1) {
                    if (posix_spawn(&pid, line[0], 0, 0, line, 0)) pid = -1;
                } else if (!(pid = vfork())) {
                    execv(line[0], line);
                    _exit(5);
                }
                while (waitpid(pid, &status, 0) < 0 && pid > 0) ;
                __sync_fetch_and_add(status == 126 << 8 ? &good : &bad, 1);
                if (posix_spawn(&pid, fine[0], 0, 0, fine, 0)) pid = -1;
                while (waitpid(pid, &status, 0) < 0 && pid > 0) ;
                __sync_fetch_and_add(status == 7 << 8 ? &good : &bad, 1);
            }
            return unused;
        }
        int main(void)
        {
            pthread_t threads[8];
            struct itimerval often = {{0, 500}, {0, 500}};
            signal(SIGALRM, tick);
            setitimer(ITIMER_REAL, &often, 0);
            for (int i = 0; i < 8; i++) pthread_create(threads + i, 0, start, 0);
            for (int i = 0; i < 8; i++) pthread_join(threads[i], 0);
            printf("%d %d\n", good, bad);
            return 0;
        }"#,
    );
    let output = sealed.run(&[text(&many)]);
    assert_eq!(stdout(&output), "320 0\n", "{}", stderr(&output));
    assert_eq!(stderr(&output).matches(WHY).count(), 160, "{}", stderr(&output));
    assert!(!sealed.ran("permitted") && !sealed.ran("forbidden"));
}
