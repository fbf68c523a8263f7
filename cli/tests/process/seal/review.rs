//! What is looked at after the kernel was answered: whether what was allowed is what has started.

use super::{Sealed, text};
use crate::world::{compile, stderr, stdout, wait_until};

/// Denies what is called `b`, and `x` with these words.
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

/// Starts `WORDS[1]`, while a thread writes one letter, by which another path or another argument
/// stands there. Tells what became of who had started the other one.
const RESTLESS: &str = r#"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static char path[4096], word[] = "c\0b", *argv[] = {path, word, 0}, one, other;
static volatile char *letter;
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

	strcpy(path, words[1]);
	one = *words[2] == 'a' ? 'a' : 0, other = 'b';
	letter = one ? path + strlen(path) - 1 : word + 1;
	pthread_create(&thread, 0, write_on, 0);
	for (int i = 0; i < 20000; i++) {
		pid_t child = vfork();
		if (!child) {
			execv(path, argv);
			_exit(1);
		}
		waitpid(child, &status, 0);
		if (WIFSIGNALED(status) || WEXITSTATUS(status) == 3) {
			puts(WIFSIGNALED(status) ? "was ended" : "went on");
			return 0;
		}
	}
	puts("never got by");
	return 0;
}
"#;

#[test]
fn who_was_allowed_one_thing_and_has_started_another_is_ended_and_that_is_in_the_audit() {
    for kind in ["ab", "words"] {
        let sealed = Sealed::new();
        sealed.0.write("p.yaml", POLICY);
        // Neither does anything: what was not allowed leaves a mark, and goes on for a while.
        let source = format!(
            "#include <fcntl.h>\n#include <string.h>\n#include <sys/auxv.h>\n#include <unistd.h>\n\
            int main(int count, char **words)\n\
            {{\n\
            \tconst char *path = (const char *)getauxval(AT_EXECFN), *end = path + strlen(path) - 1;\n\
            \tif (*end != 'b' && strcmp(words[1], \"cbb\")) return 0;\n\
            \tclose(open(\"{}\", O_CREAT | O_WRONLY, 0600));\n\
            \tsleep(60);\n\
            \treturn 3;\n\
            }}\n",
            sealed.mark("other").display()
        );
        let a = sealed.compiled("a", &source);
        std::fs::copy(&a, sealed.0.path("b")).unwrap();
        let source = sealed.0.write("restless.c", RESTLESS);
        let restless = sealed.0.path("restless");
        compile(&source, &restless, &["-w", "-pthread"]);
        let output = sealed.run(&[text(&restless), text(&a), kind]);
        assert_eq!(stdout(&output), "was ended\n", "{kind} {}", stderr(&output));
        assert!(stderr(&output).contains("this process is ended"), "{}", stderr(&output));
        let is_it = |line: &serde_json::Value| line["request"]["event"] == "changed-in-between";
        wait_until("the record of it", || sealed.0.audit().iter().any(is_it));
        let audit = sealed.0.audit();
        let line = audit.iter().find(|line| is_it(line)).unwrap();
        let message = line["decision"]["message"].as_str().unwrap();
        assert!(message.contains("was ended"), "{message}");
        let found = if kind == "ab" { "/b\"" } else { "/a c" };
        assert!(message.contains("/a\" and has started") && message.contains(found), "{message}");
    }
}

/// Starts programs in ways in which what is there afterwards looks like something else.
const HARMLESS: &str = r#"
import ctypes, os, shutil, subprocess, sys, threading, time
home, calls = sys.argv[1], 0
stays = 'import time; time.sleep(0.05)'
def run(*words, status=0, **more):
    global calls
    calls += 1
    done = subprocess.run(words, **more)
    assert done.returncode == status, (words, done.returncode)
def script(name, text):
    path = os.path.join(home, name)
    with open(path, 'w') as file: file.write(text)
    os.chmod(path, 0o755)
    return path
python = sys.executable
# Scripts, with and without an argument of the interpreter's; a script's script; a link; no name.
run(script('plain', '#!/bin/sh\nsleep 0.05\n'), 'x')
run(script('argument', '#!/bin/sh -e\nsleep 0.05\n'), 'x', 'y')
run(script('by-env', f'#!/usr/bin/env python3\n{stays}\n'))
run(script('of-script', f'#!{home}/plain\n'))
os.symlink('/bin/sleep', home + '/link')
run(home + '/link', '0.05')
run('./link', '0.05', cwd=home)
run('/lib64/ld-linux-x86-64.so.2' if os.path.exists('/lib64/ld-linux-x86-64.so.2') else '/bin/sleep',
    *(['/bin/sleep'] if os.path.exists('/lib64/ld-linux-x86-64.so.2') else []), '0.05')
# One that is gone from its place at once, and one that is replaced.
shutil.copy('/bin/sleep', home + '/short')
gone = subprocess.Popen([home + '/short', '0.05']); os.unlink(home + '/short')
shutil.copy('/bin/true', home + '/short')
assert gone.wait() == 0
# Chains: each asks again at once.
run('env', 'env', 'nice', 'env', 'sh', '-c', 'exec env sh -c "exec sleep 0.05"')
run('sh', '-c', 'exec ' * 1 + 'sh -c "exec sh -c \'exec sleep 0.05\'"')
# A start that fails, after which the program goes on, and starts another one.
bad = script('bad', '\x7fELF nothing')
run(python, '-c', f'''
import os, time
for path in {bad!r}, {bad!r}:
    try: os.execv(path, [path, "long " * 1000])
    except OSError: time.sleep(0.02)
os.execv("/bin/sleep", ["sleep", "0.05"])
''')
# One that fails, and gives back the memory in which its words were.
run(sys.argv[2], bad)
# What calls itself something else, and writes over its arguments.
run('bash', '-c', 'exec -a another-name sleep 0.05')
run('perl', '-e', '$0 = "x" x 10; select undef, undef, undef, 0.05')
run('perl', '-e', '$0 = "longer " x 100; select undef, undef, undef, 0.05')
# Threads that start a program in their process's place, also two at once.
threads = f'''
import os, threading, time
def start(program): os.execv(program, [program, "0.05"])
for program in PROGRAMS: threading.Thread(target=start, args=(program,)).start()
start(PROGRAMS[0]) if MAIN else time.sleep(1)
'''
for programs, main in [(('/bin/sleep',), False), (('/bin/sleep', home + '/link'), False),
                       (('/bin/sleep', home + '/link', home + '/plain'), True)]:
    for _ in range(2):
        run(python, '-c', f'PROGRAMS, MAIN = {programs!r}, {main}\n{threads}')
# Many at once.
all_of_them = [subprocess.Popen([home + '/plain', str(i)]) for i in range(20)]
assert all(each.wait() == 0 for each in all_of_them)
print('all of them')
"#;

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

#[test]
fn nobody_is_ended_for_what_only_looks_like_something_else() {
    let sealed = Sealed::new();
    let harmless = sealed.0.write("harmless.py", HARMLESS);
    let (source, fails) = (sealed.0.write("fails.c", FAILS), sealed.0.path("fails"));
    compile(&source, &fails, &["-w"]);
    let world = sealed.0.path("");
    let home = text(&world).trim_end_matches('/');
    let words = ["/usr/bin/python3", text(&harmless), home, text(&fails)];
    let output = sealed.run(&words);
    assert_eq!(stdout(&output), "all of them\n", "{}", stderr(&output));
    assert!(!stderr(&output).contains("is ended"), "{}", stderr(&output));
    let is_it = |line: &serde_json::Value| line["request"]["event"] == "changed-in-between";
    assert!(!sealed.0.audit().iter().any(is_it));
}
