//! How the kernel's questions are answered, and how fast.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};
use scripted_server::{Server, Transport};

use super::{Sealed, text};
use crate::world::{finished, stderr, stdout, wait_until};

/// Starts a program many times at once: all children wait for each other first.
const MANY: &str = r#"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **words)
{
	int gate[2], status, good = 0, refused = 0, other = 0;
	char byte;
	if (pipe(gate)) return 1;
	for (int i = atoi(words[1]); i > 0; i--)
		if (!fork()) {
			close(gate[1]);
			read(gate[0], &byte, 1);
			execv(words[2], words + 2);
			_exit(errno == 1 ? 7 : 8);
		}
	close(gate[0]);
	close(gate[1]);
	while (wait(&status) > 0)
		if (status == 0) good++;
		else if (status == 7 << 8) refused++;
		else other++;
	printf("%d %d %d\n", good, refused, other);
	return 0;
}
"#;

/// A policy server that is slow to answer commands with `slow`, and denies `forbidden`.
fn slow_server(delay: Duration) -> Server {
    Server::scripted(Transport::Tcp, move |exchange| {
        exchange.answer_all(|question| {
            let text = String::from_utf8_lossy(&question.body);
            if text.contains("slow") {
                std::thread::sleep(delay);
            }
            scripted_server::verdict(!text.contains("forbidden"))
        });
    })
}

fn run_at(sealed: &Sealed, url: &str, words: &[&str]) -> Output {
    let mut command = sealed.0.rampart(["preload", "--seal", "--url", url, "--"]);
    finished(command.args(words).env("RAMPART_TIMEOUT_MS", "20000"))
}

#[test]
fn a_thousand_at_once_lose_none_and_a_slow_answer_delays_no_other() {
    let sealed = Sealed::new();
    let many = sealed.compiled("many", MANY);
    let quick = sealed.compiled("quick", "int main(void) { return 0; }\n");
    let delay = Duration::from_millis(500);
    let server = slow_server(delay);
    // In sequence they would take more than eight minutes; each may take 20 s.
    let output = run_at(&sealed, &server.url, &[text(&many), "1000", text(&quick), "slow"]);
    assert_eq!(stdout(&output), "1000 0 0\n", "{}", stderr(&output));
    let output = run_at(&sealed, &server.url, &[text(&many), "200", text(&quick), "forbidden"]);
    assert_eq!(stdout(&output), "0 200 0\n");
}

#[test]
fn where_nobody_can_be_asked_everything_is_refused_unless_it_is_only_watched() {
    let sealed = Sealed::new();
    let many = sealed.compiled("many", MANY);
    let quick = sealed.compiled("quick", "int main(void) { return 0; }\n");
    let words = [text(&many), "3", text(&quick)];
    let output = run_at(&sealed, "http://127.0.0.1:1", &words);
    assert_eq!(stdout(&output), "0 3 0\n");
    assert!(stderr(&output).contains("everything is refused"), "{}", stderr(&output));
    let mut watched = sealed.0.rampart(["preload", "--seal", "--mode", "monitor"]);
    watched.args(["--url", "http://127.0.0.1:1", "--"]).args(words);
    assert_eq!(stdout(&finished(&mut watched)), "3 0 0\n");
}

#[test]
fn where_a_stopped_server_has_no_room_for_one_more_who_asks_is_refused_in_time() {
    let sealed = Sealed::new();
    let socket = sealed.0.path("full.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let _waits = UnixStream::connect(&socket).unwrap();
    let script = sealed.script("bin/permitted\necho $?\n");
    let url = format!("unix://{}", socket.display());
    let mut command = sealed.0.rampart(["preload", "--seal", "--url", &url, "--"]);
    command.args(["sh", text(&script)]).env("RAMPART_TIMEOUT_MS", "500");
    let output = finished(&mut command);
    assert_eq!(stdout(&output), "126\n", "{}", stderr(&output));
    assert!(stderr(&output).contains("everything is refused"), "{}", stderr(&output));
    assert!(!sealed.ran("permitted"));
}

#[test]
fn each_program_is_asked_about_once_and_what_is_not_there_never() {
    let sealed = Sealed::new();
    sealed.0.write("bin/no-program", "text");
    std::fs::create_dir(sealed.0.path("bin/a-directory")).unwrap();
    let walk = sealed.compiled(
        "walk",
        r"#include <errno.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <unistd.h>
        int main(int count, char **words)
        {
            for (int i = 1; i < count; i++) {
                char *argv[] = {words[i], 0};
                execv(words[i], argv);
                puts(strerrorname_np(errno));
                fflush(stdout);
            }
        }",
    );
    let long = format!("/{}", "x".repeat(5000));
    let bin = sealed.0.path("bin");
    let at = |name: &str| format!("{}/{name}", bin.display());
    let words = [
        "/no/such/place/permitted",
        &at("not-there"),
        "not-there-either",
        &at("permitted/below"),
        "",
        &long,
        &at("no-program"),
        &at("a-directory"),
        &at("forbidden"),
        &at("permitted"),
    ];
    let output = sealed.run(&[&[text(&walk)], &words[..]].concat());
    let said = "ENOENT\nENOENT\nENOENT\nENOTDIR\nENOENT\nENAMETOOLONG\nEACCES\nEACCES\nEPERM\n";
    assert_eq!(stdout(&output), said);
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"));
    // A script is one question; its interpreter and the command itself are none.
    let audit = sealed.0.audit_of(2);
    let is_by_kernel = |line: &serde_json::Value| {
        line["request"]["by"] == "kernel" && line["request"]["pid"].is_u64()
    };
    assert!(audit.iter().all(is_by_kernel), "{audit:?}");
    let asked: Vec<String> = sealed
        .0
        .audit_of(2)
        .iter()
        .map(|line| {
            line["request"]["command"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
        })
        .collect();
    assert_eq!(asked, ["forbidden", "permitted"]);
}

/// As with the library (`tests/guarded/programs.rs`).
#[test]
fn a_rule_about_an_interpreter_knows_the_script_that_starts_it_by_name_and_no_other() {
    let sealed = Sealed::new();
    let forbidden = sealed.0.path("bin/forbidden");
    for (name, line) in [
        ("by-path", format!("#!{}\n", forbidden.display())),
        ("by-name", "#!/usr/bin/env forbidden\n".to_owned()),
    ] {
        let path = sealed.0.write(&format!("bin/{name}"), &line);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = sealed.script("by-path; echo $?");
    assert_eq!(stdout(&sealed.run(&["sh", text(&script)])), "0\n");
    assert!(sealed.ran("forbidden"));
    let script = sealed.script("by-name; echo $?");
    assert_eq!(stdout(&sealed.run(&["sh", text(&script)])), "126\n");
    assert!(!sealed.ran("forbidden"));
    let audit = sealed.0.audit_of(3);
    let names = audit.iter().map(|line| {
        let command = line["request"]["command"].as_str().unwrap();
        command.split(' ').next().unwrap().rsplit('/').next().unwrap()
    });
    assert_eq!(names.collect::<Vec<_>>(), ["by-path", "by-name", "forbidden"]);
}

#[test]
fn arguments_that_cannot_be_read_fail_as_the_kernel_has_it() {
    let sealed = Sealed::new();
    let odd = sealed.compiled(
        "odd",
        r#"#include <errno.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <unistd.h>
        static void try(const char *path, char **argv)
        {
            execve(path, argv, 0);
            puts(strerrorname_np(errno));
            fflush(stdout);
        }
        int main(int count, char **words)
        {
            char *nowhere[] = {words[1], (char *)8, 0};
            char *pages = mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            char *long_word = malloc(200000), *big[] = {words[1], long_word, 0};
            char **many = calloc(4000000, sizeof *many);
            mprotect(pages + 4096, 4096, PROT_NONE);
            memset(pages, 'x', 4096);
            memset(long_word, 'x', 199999);
            try((char *)8, words + 1);
            try(pages + 4000, words + 1);
            try(words[1], (char **)8);
            try(words[1], (char **)(pages + 4090));
            try(words[1], nowhere);
            try(words[1], big);
            for (int i = 0; i < 3999999; i++) many[i] = "x";
            try(words[1], many);
            many[20000] = 0;
            try(words[1], many);
        }"#,
    );
    let permitted = sealed.0.path("bin/permitted");
    let output = sealed.run(&[text(&odd), text(&permitted)]);
    assert_eq!(stdout(&output), "EFAULT\nEFAULT\nEFAULT\nEFAULT\nEFAULT\nE2BIG\nE2BIG\n");
    assert!(sealed.ran("permitted"));
    sealed.0.audit_of(1);
}

#[test]
fn another_thread_that_writes_into_the_arguments_does_no_harm() {
    let sealed = Sealed::new();
    let restless = sealed.compiled(
        "restless",
        r"#include <errno.h>
        #include <pthread.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/wait.h>
        #include <unistd.h>
        static char word[4096], *argv[] = {0, word, word, 0};
        static void *write_on(void *unused)
        {
            for (unsigned i = 0;; i++) {
                memset(word, 'a' + i % 26, i % 4095);
                word[i % 4095] = 0;
                argv[2] = i & 1 ? word : 0;
            }
            return unused;
        }
        int main(int count, char **words)
        {
            pthread_t thread;
            int status, bad = 0;
            argv[0] = words[1];
            pthread_create(&thread, 0, write_on, 0);
            for (int i = 0; i < 300; i++) {
                if (!vfork()) {
                    execv(words[1], argv);
                    _exit(errno);
                }
                wait(&status);
                /* The kernel itself may notice that an argument grew while it was copied, */
                /* and the keeper that others were started than were allowed. */
                bad += status != 0 && status != EFAULT << 8 && status != 9;
            }
            return bad > 100 ? 100 : bad;
        }",
    );
    let quick = sealed.compiled("quick", "int main(void) { return 0; }\n");
    let output = sealed.run(&[text(&restless), text(&quick)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// The process ID of the server of the run in this home.
fn server_of(sealed: &Sealed) -> Option<i32> {
    let home = format!("HOME={}", sealed.0.path("").display());
    let home = home.trim_end_matches('/').as_bytes();
    let file = |process: i32, name: &str| std::fs::read(format!("/proc/{process}/{name}"));
    let is_it = |process: &i32| {
        file(*process, "comm").is_ok_and(|name| name == b"rampart-policy\n")
            && file(*process, "environ")
                .is_ok_and(|all| all.split(|it| *it == 0).any(|it| it == home))
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_it)
}

#[test]
fn the_keeper_decides_by_itself_where_the_policy_is_the_runs_own() {
    let sealed = Sealed::new();
    let script = sealed.script(
        "echo\nread server\nenv kill -9 $server\necho $?\nread x\n\
         permitted\nforbidden\nsh -c 'forbidden x'\necho $?\n",
    );
    let mut command = sealed.command(&[], &["sh", text(&script)]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    let server = server_of(&sealed).expect("a server").to_string();
    // Only the server itself knows what would end it, so it is asked.
    writeln!(stdin, "{server}").unwrap();
    let mut status = String::new();
    said.read_line(&mut status).unwrap();
    assert!(status == "126\n" && server_of(&sealed).is_some(), "{status}");
    // A decision is in the audit a moment after its answer.
    sealed.0.audit_of(2);
    let killed = std::process::Command::new("kill").args(["-9", &server]).status().unwrap();
    assert!(killed.success());
    wait_until("the end of the server", || server_of(&sealed).is_none());
    stdin.write_all(b"\n").unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(rest, "126\n", "{}", stderr(&output));
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"));
    assert_eq!(stderr(&output).matches("Do something else").count(), 2, "{}", stderr(&output));
    sealed.0.audit_of(5);
}

/// As busybox does in a shell of its own, which starts itself for each command.
#[test]
fn a_program_that_is_many_is_asked_about_by_what_it_is_called() {
    let sealed = Sealed::new();
    let source = r#"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words)
{
	const char *name = strrchr(words[0], '/');
	char path[4096], *called[] = {path, 0}, *end = path;
	name = name ? name + 1 : words[0];
	if (!strcmp(name, "busybox")) {
		for (const char *each = words[2]; *each; each++)
			if (*each != '.') *end++ = *each;
		*end = 0;
		execv(strcmp(words[1], "itself") ? words[0] : "/proc/self/exe", called);
		puts(strerrorname_np(errno));
		return 1;
	}
	snprintf(path, sizeof path, "%s.ran", name);
	return creat(path, 0600) < 0;
}
"#;
    let many = sealed.compiled("busybox", source);
    let server = slow_server(Duration::ZERO);
    for url in [None, Some(&server.url)] {
        let run = |words: &[&str]| match url {
            None => sealed.run(words),
            Some(url) => run_at(&sealed, url, words),
        };
        for by in ["path", "itself"] {
            let output = run(&[text(&many), by, "permitted"]);
            assert!(output.status.success() && sealed.ran("permitted"), "{by}: {output:?}");
            let output = run(&[text(&many), by, "for.bidden"]);
            assert_eq!(stdout(&output), "EPERM\n", "{by}: {output:?}");
            assert!(!sealed.ran("forbidden"), "{by}: {output:?}");
        }
    }
}
