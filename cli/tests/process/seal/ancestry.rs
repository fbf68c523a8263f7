//! Who is whose ancestor in a sealed run: memory may be read by ancestors only (Yama), so the keeper
//! has to stay one of every process, however that leaves its parents.

use std::fs;
use std::process::Command;

use super::life::{Running, field, is_gone, kill, state};
use super::{Sealed, text};
use crate::world::wait_until;

/// Becomes `sh WORDS[2]` once it has left its parents in the way that `WORDS[1]` says, has told who it
/// is in `left`, and somebody has written to `fifo`.
const LEAVER: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static char **words;
static int is(const char *way) { return !strcmp(words[1], way); }
static void stay(void)
{
	char name[] = "left.new", byte;
	FILE *told = fopen(name, "w");
	fprintf(told, "%d\n", getpid());
	fclose(told);
	rename(name, "left");
	int fifo = open("fifo", O_RDONLY);
	if (read(fifo, &byte, 1) != 1) _exit(9);
	close(fifo);
	execl("/bin/sh", "sh", words[2], (char *)0);
	_exit(9);
}
static void leave(void)
{
	if (fork()) _exit(0);
}
static void *leave_and_stay(void *unused)
{
	if (!fork()) stay();
	return unused;
}
int main(int count, char **given)
{
	words = given;
	if (is("sibling")) {
		/* A child of its parent's (clone(2)). */
		if (!syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)) stay();
		return 0;
	}
	pid_t child = fork();
	if (child) {
		waitpid(child, 0, 0);
		return 0;
	}
	if (is("session")) {
		leave();
		setsid();
	} else if (is("daemon")) {
		if (daemon(1, 0)) _exit(9);
	} else if (is("twice")) {
		leave();
		setsid();
		leave();
	} else if (is("group")) {
		setpgid(0, 0);
		leave();
	} else if (is("killed")) {
		if (fork()) raise(SIGKILL);
	} else if (is("reaped by another")) {
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		pid_t middle = fork();
		if (middle) {
			/* Its grandchild is its child then, until it ends itself. */
			waitpid(middle, 0, 0);
			_exit(0);
		}
		leave();
	} else if (is("thread")) {
		pthread_t thread;
		pthread_create(&thread, 0, leave_and_stay, 0);
		pthread_join(thread, 0);
		_exit(0);
	}
	stay();
	return 9;
}
"#;

const WAYS: [&str; 8] =
    ["session", "daemon", "twice", "group", "killed", "reaped by another", "thread", "sibling"];

/// A run in which somebody leaves its parents, and who that is. The command ends with 4 once it may
/// read a line.
fn run_leaver(sealed: &Sealed, way: &str) -> (Running, String) {
    let leaver = sealed.0.path("leaver");
    let after = sealed.0.write("after.sh", "exec 2>/dev/null\npermitted\nforbidden\n: >after\n");
    let rest = format!("'{}' '{way}' '{}'\nread x; exit 4", text(&leaver), text(&after));
    let running = Running::start(sealed, &rest);
    wait_until("who has left", || sealed.0.path("left").exists());
    let pid = fs::read_to_string(sealed.0.path("left")).unwrap().trim().to_owned();
    (running, pid)
}

fn with_leaver() -> Sealed {
    let sealed = Sealed::new();
    sealed.compiled("leaver", LEAVER);
    assert!(Command::new("mkfifo").arg(sealed.0.path("fifo")).status().unwrap().success());
    sealed
}

/// Has who has left go on.
fn go_on(sealed: &Sealed) {
    fs::write(sealed.0.path("fifo"), "x").unwrap();
}

fn end_command(running: &mut Running) {
    drop(running.child.stdin.take());
    assert_eq!(running.child.wait().unwrap().code(), Some(4));
}

/// Waits until who has left has done all it does, and the run with it.
fn is_over(sealed: &Sealed, running: &Running, pid: &str, way: &str) {
    wait_until("the end of who has left", || is_gone(pid));
    assert!(sealed.0.path("after").exists(), "{way}");
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"), "{way}");
    wait_until("the end of the keeper", || is_gone(&running.keeper));
    for file in ["left", "after"] {
        fs::remove_file(sealed.0.path(file)).unwrap();
    }
}

#[test]
fn the_three_processes_are_each_the_parent_of_the_next() {
    let sealed = Sealed::new();
    let running = Running::start(&sealed, "read x");
    let parents = [&running.command, &running.keeper].map(|it| field(it, 1).unwrap());
    assert_eq!(parents, [running.keeper.clone(), running.child.id().to_string()]);
}

#[test]
fn whoever_leaves_its_parents_is_the_keepers_and_asked_about_as_before() {
    let sealed = with_leaver();
    for way in WAYS {
        let (mut running, pid) = run_leaver(&sealed, way);
        // The keeper outlives what was typed and the command, for this one.
        end_command(&mut running);
        wait_until("its only parent", || field(&pid, 1).as_ref() == Some(&running.keeper));
        go_on(&sealed);
        is_over(&sealed, &running, &pid, way);
    }
    let is_denied = |line: &&serde_json::Value| {
        line["request"]["command"] == "forbidden" && line["decision"]["action"] == "deny"
    };
    let denied = || sealed.0.audit().iter().filter(is_denied).count();
    // The keeper writes them before it ends.
    assert_eq!(denied(), WAYS.len());
}

/// A process that is stopped until this is dropped.
struct Stopped<'p>(&'p str);

impl<'p> Stopped<'p> {
    fn new(pid: &'p str) -> Self {
        kill("-STOP", pid);
        wait_until("the stop", || state(pid) == "T");
        Self(pid)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        kill("-CONT", self.0);
    }
}

#[test]
fn while_the_keeper_is_stopped_nothing_starts_and_all_goes_on_after() {
    let sealed = with_leaver();
    for way in ["twice", "sibling"] {
        let (mut running, pid) = run_leaver(&sealed, way);
        {
            let _stopped = Stopped::new(&running.keeper);
            go_on(&sealed);
            // It is in the call that starts the shell, and stays there.
            wait_until("the call that waits", || {
                let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
                let number = call.split(' ').next().unwrap_or_default().parse();
                number == Ok(libc::SYS_execve)
            });
            assert!(!sealed.0.path("after").exists() && !sealed.ran("permitted"), "{way}");
        }
        wait_until("its shell", || sealed.0.path("after").exists());
        end_command(&mut running);
        is_over(&sealed, &running, &pid, way);
    }
}
