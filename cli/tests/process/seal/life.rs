//! The three processes of a sealed run: who they are, how they end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{Sealed, text};
use crate::world::{finished, stderr, stdout, wait_until};

/// A sealed shell that printed its process ID and its parent's, and goes on.
pub struct Running {
    pub child: Child,
    said: BufReader<std::process::ChildStdout>,
    pub command: String,
    pub keeper: String,
}

impl Running {
    pub fn start(sealed: &Sealed, rest: &str) -> Self {
        let script = sealed.script(&format!("echo $$ $PPID\n{rest}\n"));
        let mut command = sealed.command(&[], &["sh", text(&script)]);
        // In its own process group: in an orphaned one, which the tests' may be, nothing stops
        // (setpgid(2)).
        command.stdout(Stdio::piped()).stdin(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let mut pids = line.split_whitespace().map(str::to_owned);
        let (command, keeper) = (pids.next().unwrap(), pids.next().unwrap());
        Self { child, said, command, keeper }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

pub fn field(pid: &str, index: usize) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = status.rsplit_once(") ")?;
    fields.split(' ').nth(index).map(str::to_owned)
}

pub fn state(pid: &str) -> String {
    field(pid, 0).unwrap_or_default()
}

fn has_nothing_pending(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().any(|line| line == "ShdPnd:\t0000000000000000")
}

pub fn is_gone(pid: &str) -> bool {
    matches!(state(pid).as_str(), "" | "Z" | "X")
}

pub fn kill(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, "--", pid]).status().unwrap().success());
}

#[test]
fn a_sealed_command_ends_as_it_would_without() {
    let sealed = Sealed::new();
    for (words, code, signal) in [
        (&["sh", "-c", "exit 7"][..], Some(7), None),
        (&["sh", "-c", "kill -9 $$"], None, Some(9)),
        (&["sh", "-c", "kill -TERM $$"], None, Some(15)),
        (&["sh", "-c", "kill -SEGV $$"], None, Some(11)),
        (&["sh", "-c", "kill -40 $$"], None, Some(40)),
        (&["no-such-program"], Some(127), None),
        (&["/no/such/program"], Some(127), None),
        (&["/"], Some(126), None),
        (&["permitted"], Some(0), None),
    ] {
        let output = sealed.run(words);
        let status = output.status;
        assert_eq!((status.code(), status.signal()), (code, signal), "{words:?}");
    }
    assert!(sealed.ran("permitted"));
}

#[test]
fn the_command_has_the_streams_signals_and_group_of_what_was_typed() {
    let sealed = Sealed::new();
    let mut running = Running::start(&sealed, "ps -o pgid=,sid= -p $$; cat; exit 3");
    let typed = running.child.id().to_string();
    let group = field(&typed, 2).unwrap();
    let session = field(&typed, 3).unwrap();
    assert_eq!(field(&running.command, 2).unwrap(), group);
    assert_eq!(field(&running.command, 3).unwrap(), session);
    assert_eq!(field(&running.keeper, 3).unwrap(), running.keeper);
    running.line();
    for own in [&typed, &running.keeper] {
        let opened = std::fs::read_dir(format!("/proc/{own}/fd")).unwrap();
        let targets = opened.filter_map(|it| std::fs::read_link(it.ok()?.path()).ok());
        assert_eq!(targets.filter(|it| text(it).starts_with("pipe:")).count(), 0, "{own}");
    }
    drop(running.child.stdin.take());
    assert_eq!(running.child.wait().unwrap().code(), Some(3));

    let masks = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status";
    let bare = Command::new("sh").args(["-c", masks]).output().unwrap();
    let mut sealed_shell = sealed.command(&[], &["sh", "-c", masks]);
    assert_eq!(stdout(&finished(&mut sealed_shell)), stdout(&bare));
}

#[test]
fn a_signal_to_what_was_typed_reaches_the_command() {
    let sealed = Sealed::new();
    for (signal, said) in [("-TERM", "TERM"), ("-USR1", "USR1"), ("-HUP", "HUP")] {
        // Not with a shell's trap: a shell cannot trap signals that were ignored when it started.
        let script = format!(
            "exec perl -e '$| = 1; $SIG{{{said}}} = sub {{ print \"{said}\\n\"; exit 5 }}; \
             print \"ready\\n\"; sleep 1 while 1'"
        );
        let mut running = Running::start(&sealed, &script);
        assert_eq!(running.line(), "ready");
        kill(signal, &running.child.id().to_string());
        assert_eq!(running.line(), said);
        assert_eq!(running.child.wait().unwrap().code(), Some(5));
    }
    // So does one that a process of the tree sends, which may have its ID from a file.
    let script = "exec perl -e '$SIG{USR1} = sub { exit 5 }; kill USR1 => scalar <STDIN>; \
         sleep 1 for 1 .. 60; exit 6'";
    let mut running = Running::start(&sealed, script);
    let typed = running.child.id();
    writeln!(running.child.stdin.take().unwrap(), "{typed}").unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(5));
    // An alarm set before rampart started is for the command.
    let command = sealed.command(&[], &["sleep", "15"]);
    let mut alarmed = sealed.wrapped(&["perl", "-e", "alarm 1; exec @ARGV or die"], &command);
    assert_eq!(finished(&mut alarmed).status.signal(), Some(14));
}

#[test]
fn what_was_typed_stops_and_goes_on_and_dies_with_the_command() {
    let sealed = Sealed::new();
    let mut running = Running::start(&sealed, "sleep 60");
    let typed = running.child.id().to_string();
    // The command stops, and so does the waiter.
    kill("-STOP", &running.command);
    wait_until("the stop of what was typed", || state(&typed) == "T");
    kill("-CONT", &running.command);
    wait_until("what was typed going on", || state(&typed) == "S");
    // The waiter is stopped, by a signal that can be caught and by one that cannot.
    for signal in ["-TSTP", "-STOP"] {
        kill(signal, &typed);
        wait_until("the stop of the command", || state(&running.command) == "T");
        wait_until("the stop of what was typed", || state(&typed) == "T");
        kill("-CONT", &typed);
        wait_until("the command going on", || state(&running.command) == "S");
        wait_until("what was typed going on", || state(&typed) == "S");
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!((state(&typed), state(&running.command)), ("S".into(), "S".into()));
    }
    kill("-KILL", &typed);
    wait_until("the end of the command", || is_gone(&running.command));
    running.child.wait().unwrap();
}

#[test]
fn a_signal_to_the_group_reaches_the_command_once_and_one_to_what_was_typed_does_too() {
    let sealed = Sealed::new();
    let mut running = Running::start(
        &sealed,
        "exec perl -e '$| = 1; $SIG{USR1} = sub { print ++$count, \"\\n\" }; \
         $SIG{USR2} = sub { print \"in all $count\\n\" }; print \"ready\\n\"; sleep 1 while 1'",
    );
    assert_eq!(running.line(), "ready");
    let typed = running.child.id().to_string();
    let group = Pid::from_raw(running.child.id().cast_signed());
    for count in 1..=3 {
        let sent = 2 * count - 1;
        killpg(group, Signal::SIGUSR1).unwrap();
        assert_eq!(running.line(), sent.to_string());
        // By what was typed, so that anything passed on before comes first.
        kill("-USR2", &typed);
        assert_eq!(running.line(), format!("in all {sent}"));
        kill("-USR1", &typed);
        assert_eq!(running.line(), (sent + 1).to_string());
    }
    // Nobody but what was typed is to reap who helped it: process 1 may not.
    let helper = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let mut all = all.filter_map(|it| it.file_name().into_string().ok());
        all.find(|pid| field(pid, 1).as_ref() == Some(&typed) && *pid != running.keeper)
    };
    let helper = helper().expect("a second child of what was typed");
    kill("-TERM", &running.command);
    assert_eq!(running.child.wait().unwrap().signal(), Some(15));
    assert_eq!(field(&helper, 0), None);
}

/// As what was typed it would lead its group, and could not have left it.
#[test]
fn a_signal_to_the_group_reaches_a_command_that_has_left_it() {
    let sealed = Sealed::new();
    let mut running = Running::start(
        &sealed,
        "exec perl -e '$| = 1; setpgrp; $SIG{TERM} = sub { exit 5 }; print \"ready\\n\"; \
         sleep 1 for 1 .. 60; exit 6'",
    );
    assert_eq!(running.line(), "ready");
    killpg(Pid::from_raw(running.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(running.child.wait().unwrap().code(), Some(5));
}

/// What stops a process or continues it can be caught as well, and is counted by the one who does.
#[test]
fn a_signal_that_stops_or_continues_reaches_who_catches_it_as_often_as_it_was_sent() {
    let sealed = Sealed::new();
    let mut running = Running::start(
        &sealed,
        "exec perl -e '$| = 1; for my $it (qw(TSTP TTIN TTOU CONT RTMIN)) { \
         $SIG{$it} = sub { print \"$it \", ++$count{$it}, \"\\n\" } } \
         print \"ready\\n\"; sleep 1 while 1'",
    );
    assert_eq!(running.line(), "ready");
    let typed = running.child.id().to_string();
    let group = format!("-{typed}");
    for round in 0..3 {
        for signal in ["TSTP", "TTIN", "TTOU", "CONT", "RTMIN"] {
            for (index, receiver) in [&group, &typed].into_iter().enumerate() {
                kill(&format!("-{signal}"), receiver);
                assert_eq!(running.line(), format!("{signal} {}", 2 * round + index + 1));
                // The next one is not to be one with this, as two of a signal are while it is pending.
                wait_until("the receipt by what was typed", || has_nothing_pending(&typed));
            }
        }
    }
    kill("-TERM", &running.command);
    assert_eq!(running.child.wait().unwrap().signal(), Some(15));
}

#[test]
fn a_group_that_was_stopped_and_goes_on_stays_so() {
    let sealed = Sealed::new();
    let mut running = Running::start(&sealed, "exec sleep 60");
    let typed = running.child.id().to_string();
    let group = Pid::from_raw(running.child.id().cast_signed());
    let both = || (state(&typed), state(&running.command));
    for pause in [50, 300, 400, 500, 600] {
        killpg(group, Signal::SIGSTOP).unwrap();
        wait_until("the stop of both", || both() == ("T".into(), "T".into()));
        // The keeper looks four times a second.
        std::thread::sleep(Duration::from_millis(pause));
        killpg(group, Signal::SIGCONT).unwrap();
        wait_until("both going on", || both() == ("S".into(), "S".into()));
        std::thread::sleep(Duration::from_millis(600));
        assert_eq!(both(), ("S".into(), "S".into()), "{pause}");
    }
    killpg(group, Signal::SIGTERM).unwrap();
    assert_eq!(running.child.wait().unwrap().signal(), Some(15));
}

#[test]
fn without_its_keeper_nothing_starts_and_the_command_still_ends_as_it_does() {
    let sealed = Sealed::new();
    let mut running = Running::start(&sealed, "read x; permitted; echo $?; exit 6");
    kill("-KILL", &running.keeper);
    wait_until("the end of the keeper", || is_gone(&running.keeper));
    drop(running.child.stdin.take());
    assert_ne!(running.line(), "0");
    assert_eq!(running.child.wait().unwrap().code(), Some(6));
    assert!(!sealed.ran("permitted"));
}

#[test]
fn the_keeper_cannot_be_aimed_at_from_the_tree() {
    let sealed = Sealed::new();
    let aims = sealed.compiled(
        "aims",
        r#"#define _GNU_SOURCE
        #include <dirent.h>
        #include <errno.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/ptrace.h>
        #include <sys/resource.h>
        #include <sys/syscall.h>
        #include <sys/uio.h>
        #include <unistd.h>
        static void told(const char *what, long result)
        {
            printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
        }
        int main(void)
        {
            char byte = 0;
            struct iovec own = {&byte, 1};
            struct rlimit limit;
            pid_t keeper = getppid();
            told("kill", kill(keeper, 0));
            told("group", kill(-keeper, 0));
            told("everybody", kill(-1, 0));
            told("tkill", syscall(SYS_tkill, keeper, 0));
            told("tgkill", syscall(SYS_tgkill, keeper, keeper, 0));
            told("handle", syscall(SYS_pidfd_open, keeper, 0));
            told("limit", prlimit(keeper, RLIMIT_NOFILE, 0, &limit));
            told("memory", process_vm_readv(keeper, &own, 1, &own, 1, 0));
            told("trace", ptrace(PTRACE_SEIZE, keeper, 0, 0));
            /* Each of its threads can name it, too. */
            char path[64];
            sprintf(path, "/proc/%d/task", keeper);
            DIR *tasks = opendir(path);
            struct dirent *task;
            int count = 0, others = 0;
            while (tasks && (task = readdir(tasks))) {
                int thread = atoi(task->d_name);
                if (thread <= 0) continue;
                count++;
                others += syscall(SYS_tkill, thread, 0) == 0 || kill(thread, 0) == 0
                    || syscall(SYS_tgkill, keeper, thread, 0) == 0
                    || ptrace(PTRACE_SEIZE, thread, 0, 0) == 0
                    || process_vm_readv(thread, &own, 1, &own, 1, 0) == 0
                    || syscall(SYS_pidfd_open, thread, 0x80 /* PIDFD_THREAD */) >= 0;
            }
            printf("threads %s %d\n", count > 4 ? "seen" : "unseen", others);
            told("own", kill(getpid(), 0));
            return 0;
        }"#,
    );
    let output = sealed.run(&[text(&aims)]);
    let refused =
        ["kill", "group", "everybody", "tkill", "tgkill", "handle", "limit", "memory", "trace"];
    let expected = refused.join(" EPERM\n") + " EPERM\nthreads seen 0\nown done\n";
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));
}

#[test]
fn a_shell_stops_a_sealed_job_puts_it_back_and_ends_it_as_any_other() {
    let sealed = Sealed::new();
    let terminal = sealed.0.write("terminal.py", include_str!("terminal.py"));
    let job = sealed.0.write(
        "job.py",
        "import os, signal, sys, time\n\
         count, wants = 0, False\n\
         def say(text): os.write(1, text.encode())\n\
         def interrupted(*_):\n    global count\n    count += 1\n    say(f'interrupted {count} ')\n\
         def wanted(*_):\n    global wants\n    wants = True\n\
         signal.signal(signal.SIGINT, interrupted)\n\
         signal.signal(signal.SIGUSR1, wanted)\n\
         say('ready')\n\
         while True:\n    while not wants: time.sleep(0.02)\n    wants = False\n    \
         say('read ' + sys.stdin.readline())\n",
    );
    let words = ["python3", text(&job)];
    let plain = sealed.0.rampart(["preload", "--policy", "p.yaml", "--", "python3", text(&job)]);
    for command in [plain, sealed.command(&[], &words)] {
        let mut shell = sealed.wrapped(&["python3", text(&terminal)], &command);
        let output = finished(&mut shell);
        assert_eq!(stdout(&output), "as a shell expects\n", "{}", stderr(&output));
    }
}
