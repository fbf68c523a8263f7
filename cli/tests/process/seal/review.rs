//! The review after an answer: whether what was allowed is what started.

use std::path::Path;
use std::process::Command;

use super::{Sealed, text};
use crate::server::{Server, TOKEN};
use crate::world::{World, compile, finished, stderr, stdout, wait_until};

/// Denies `b`, and scripts with changed arguments.
const POLICY: &str = r#"version: "1"
default_action: allow
policies:
  - name: not-b
    match: { tool: exec }
    rules:
      - action: deny
        when: { command_matches: ["b *", "a cbb"] }
        message: "Not that"
"#;

/// Starts `WORDS[1]` in a child, or from a second thread of one, while a thread toggles a letter of
/// the path or of an argument. Prints what happened to a process that had started the other one.
const RESTLESS: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
static char path[4096], word[] = "c\0b", *argv[] = {path, word, 0}, one, other;
static volatile char *letter;
static void *start(void *unused)
{
	execv(path, argv);
	_exit(1);
}
static void *write_on(void *unused)
{
	for (unsigned i = 0;; i++) {
		*letter = i & 1 ? other : one;
		for (volatile int pause = 0; pause < 300; pause++) ;
	}
	return unused;
}
int main(int count, char **words)
{
	pthread_t thread;
	int status;

	if (words[3] && words[4])
		prctl(PR_SET_NAME, "\377");
	strcpy(path, words[1]);
	one = *words[2] == 'a' ? 'a' : 0, other = 'b';
	letter = one ? path + strlen(path) - 1 : word + 1;
	pthread_create(&thread, 0, write_on, 0);
	for (int i = 0; i < 20000; i++) {
		pid_t child = words[3] ? fork() : vfork();
		if (!child && words[3]) {
			// Threads are not forked, so the child starts its own.
			pthread_create(&thread, 0, write_on, 0);
			pthread_create(&thread, 0, start, 0);
			pause();
		}
		if (!child)
			start(0);
		waitpid(child, &status, 0);
		if (WIFSIGNALED(status) || WEXITSTATUS(status) == 3) {
			puts(WIFSIGNALED(status) ? "was killed" : "went on");
			return 0;
		}
	}
	puts("never got by");
	return 0;
}
"#;

/// The started program: if it is not what was allowed, it leaves a mark and keeps running for a
/// while.
const OTHER: &str = r#"
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <unistd.h>
int main(int count, char **words)
{
	const char *path = (const char *)getauxval(AT_EXECFN), *end = path + strlen(path) - 1;
#ifdef NO_TEXT
	prctl(PR_SET_NAME, "\377");
#endif
	if (*end != 'b' && strcmp(words[1], "cbb")) return 0;
	close(open(MARK, O_CREAT | O_WRONLY, 0600));
	sleep(60);
	return 3;
}
"#;

/// Starts `a` while it is being changed into something else, and expects that to be killed.
fn is_ended(kind: &str, prepare: impl FnOnce(&Sealed, &Path), more: &[&str]) {
    let sealed = Sealed::new();
    sealed.0.write("p.yaml", POLICY);
    is_ended_in(&sealed, &sealed.0, kind, prepare, more, |words| sealed.command(&[], words));
}

/// The same in a run that `start` makes, whose audit is in `audited`.
fn is_ended_in(
    sealed: &Sealed,
    audited: &World,
    kind: &str,
    prepare: impl FnOnce(&Sealed, &Path),
    more: &[&str],
    start: impl FnOnce(&[&str]) -> Command,
) {
    let source = sealed.0.write("other.c", OTHER);
    let a = sealed.0.path("a");
    let mark = format!("-DMARK=\"{}\"", sealed.mark("other").display());
    compile(&source, &a, &["-w", &mark]);
    std::fs::copy(&a, sealed.0.path("b")).unwrap();
    prepare(sealed, &a);
    let source = sealed.0.write("restless.c", RESTLESS);
    let restless = sealed.0.path("restless");
    compile(&source, &restless, &["-w", "-pthread"]);
    // Into a file: there are hundreds of refusals, and what does not fit a full pipe is dropped.
    let script = sealed.script("exec \"$@\" 2>said\n");
    let words = ["sh", text(&script), text(&restless), text(&a), kind];
    let output = finished(&mut start(&[&words[..], more].concat()));
    let said = std::fs::read_to_string(sealed.0.path("said")).unwrap();
    let end = &said[said.len().saturating_sub(2000)..];
    assert_eq!(stdout(&output), "was killed\n", "{kind} {more:?} {} {end}", stderr(&output));
    assert!(said.contains("this process was killed"), "{end}");
    let is_it = |line: &serde_json::Value| line["request"]["event"] == "changed-in-between";
    wait_until("the record of it", || audited.audit().iter().any(is_it));
    let audit = audited.audit();
    let line = audit.iter().find(|line| is_it(line)).unwrap();
    let message = line["decision"]["message"].as_str().unwrap();
    assert!(message.contains("was killed"), "{message}");
    let found = if kind == "ab" { "/b\"" } else { "/a c" };
    assert!(message.contains("/a\" but started") && message.contains(found), "{message}");
}

#[test]
fn who_was_allowed_one_thing_and_has_started_another_is_ended_and_that_is_in_the_audit() {
    for kind in ["ab", "words"] {
        is_ended(kind, |_, _| {}, &[]);
    }
}

#[test]
fn so_is_who_was_allowed_it_by_a_server_that_was_there_before_whose_audit_has_it() {
    let (sealed, serving) = (Sealed::new(), World::new());
    serving.write(".rampart/policy.yaml", POLICY);
    let server = Server::start(&serving, &[]);
    let url = format!("http://{}", server.tcp);
    is_ended_in(
        &sealed,
        &serving,
        "ab",
        |_, _| {},
        &[],
        |words| {
            let mut command = sealed.command(&["--seal", "--url", &url], words);
            command.env("RAMPART_TOKEN", TOKEN);
            command
        },
    );
}

#[test]
fn so_is_who_did_that_by_a_thread_that_is_not_its_first() {
    is_ended("ab", |_, _| {}, &["by a thread"]);
}

#[test]
fn so_is_who_has_a_name_that_is_no_text() {
    let unnamed = |sealed: &Sealed, a: &Path| {
        let mark = format!("-DMARK=\"{}\"", sealed.mark("other").display());
        compile(&sealed.0.path("other.c"), a, &["-w", "-DNO_TEXT", &mark]);
        std::fs::copy(a, a.with_file_name("b")).unwrap();
    };
    for more in [&[][..], &["by a thread", "without a name"]] {
        is_ended("ab", unnamed, more);
    }
}

#[test]
fn so_is_who_changed_the_arguments_of_a_script() {
    for line in ["#!/bin/sh", "#! /bin/sh -e"] {
        let script = |sealed: &Sealed, a: &Path| {
            let (mark, never) = (sealed.mark("other"), sealed.0.path("never"));
            nix::unistd::mkfifo(&never, nix::sys::stat::Mode::S_IRWXU).unwrap();
            let text = format!(
                "{line}\n[ \"$1\" = cbb ] || exit 0\n: > {}\nread x <> {}\nexit 3\n",
                mark.display(),
                never.display()
            );
            std::fs::write(a, text).unwrap();
        };
        is_ended("words", script, &[]);
    }
}

/// Without a C library, which may be missing for 32-bit programs: does nothing, or leaves a mark
/// and keeps running.
#[cfg(target_arch = "x86_64")]
const NARROW: &str = r#"
static int call(int number, const void *first, int second, int third)
{
	int result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(third));
	return result;
}
void _start(void)
{
#ifdef STAYS
	static const int time[] = {60, 0};

	call(5, MARK, 0101, 0600);
	call(162, time, 0, 0);
	call(1, (void *)3, 0, 0);
#endif
	call(1, 0, 0, 0);
}
"#;

#[cfg(target_arch = "x86_64")]
#[test]
fn so_is_who_has_started_a_program_with_narrow_pointers() {
    let narrow = |sealed: &Sealed, a: &Path| {
        let source = sealed.0.write("narrow.c", NARROW);
        let mark = format!("-DMARK=\"{}\"", sealed.mark("other").display());
        let flags = ["-w", "-m32", "-static", "-nostdlib", &mark];
        compile(&source, a, &flags);
        let stays = [&flags[..], &["-DSTAYS"]].concat();
        compile(&source, &a.with_file_name("b"), &stays);
    };
    is_ended("ab", narrow, &[]);
}

/// Starts programs in legitimate ways that look like a change afterwards.
const HARMLESS: &str = include_str!("harmless.py");

const FAILS: &str = r"
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int count, char **words)
{
	for (int i = 0; i < 3; i++) {
		char *all = mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		char **argv = (char **)(all + 32768);

		strcpy(all, words[1]);
		argv[0] = all;
		execv(all, argv);
		munmap(all, 65536);
		usleep(50000);
	}
	return 0;
}
";

/// Overwrites its own arguments, or traces another program.
const TITLES: &str = include_str!("titles.c");

#[test]
fn nobody_is_ended_for_what_only_looks_like_something_else() {
    let sealed = Sealed::new();
    sealed.0.write("p.yaml", "version: \"1\"\ndefault_action: allow\npolicies: []\n");
    let harmless = sealed.0.write("harmless.py", HARMLESS);
    for (name, text) in [("fails", FAILS), ("titles", TITLES)] {
        compile(&sealed.0.write(&format!("{name}.c"), text), &sealed.0.path(name), &["-w"]);
    }
    sealed.compiled("stays", "int main(void) { usleep(50000); return 0; }\n");
    let world = sealed.0.path("");
    let home = text(&world).trim_end_matches('/');
    let words = ["/usr/bin/python3", text(&harmless), home];
    let output = sealed.run(&words);
    assert_eq!(stdout(&output), "all of them\n", "{}", stderr(&output));
    assert!(!stderr(&output).contains("is ended"), "{}", stderr(&output));
    // Also as the first program of a run.
    let output = sealed.run(&[text(&sealed.0.path("fails")), text(&sealed.0.path("bad"))]);
    assert!(output.status.success(), "{output:?}");
    let is_it = |line: &serde_json::Value| line["request"]["event"] == "changed-in-between";
    assert!(!sealed.0.audit().iter().any(is_it));
}
