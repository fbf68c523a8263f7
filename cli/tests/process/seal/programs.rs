//! Other kinds of programs in a sealed run, with and without the library: the kernel asks about
//! what the library cannot see.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::ways::STARTS;
use super::{Sealed, text};
use crate::team::library;
use crate::world::{compile, finished, stderr, stdout};

/// Whether this machine has a program and it works without the seal.
fn works(sealed: &Sealed, words: &[&str]) -> bool {
    let mut bare = sealed.0.command(words[0]);
    let path = format!("{}:/usr/sbin:/usr/bin:/bin", sealed.0.path("bin").display());
    let bare = bare.args(&words[1..]).env("PATH", path).stdout(Stdio::null()).status();
    let is_done = bare.is_ok() && sealed.ran("permitted");
    sealed.ran("forbidden");
    if !is_done {
        eprintln!("left out: {} does not do it here", words[0]);
    }
    is_done
}

fn sealed_run(sealed: &Sealed, words: &[&str]) -> Output {
    let mut command = sealed.command(&[], words);
    finished(command.env("RAMPART_LIBRARY", library()))
}

fn paths(sealed: &Sealed) -> [PathBuf; 2] {
    ["bin/permitted", "bin/forbidden"].map(|path| sealed.0.path(path))
}

#[test]
fn a_plug_in_that_takes_its_own_libc_is_asked_about() {
    let sealed = Sealed::new();
    let plug_in = "#include <errno.h>\n#include <sys/wait.h>\n#include <unistd.h>\n\
        int start(const char *path)\n\
        {\n\
        \tchar *words[] = {(char *)path, 0};\n\
        \tint status, child = fork();\n\
        \tif (!child) { execv(path, words); _exit(errno); }\n\
        \twaitpid(child, &status, 0);\n\
        \treturn WEXITSTATUS(status);\n\
        }\n";
    let host = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <string.h>\n\
        int main(int count, char **words)\n\
        {\n\
        \tvoid *it = !strcmp(words[1], \"deepbind\")\n\
        \t\t? dlopen(words[2], RTLD_NOW | RTLD_DEEPBIND) : dlmopen(LM_ID_NEWLM, words[2], RTLD_NOW);\n\
        \tint (*start)(const char *) = it ? dlsym(it, \"start\") : 0;\n\
        \treturn start ? start(words[3]) : 99;\n\
        }\n";
    let (plug_in, host) = (sealed.0.write("plug.c", plug_in), sealed.0.write("host.c", host));
    let (library_file, program) = (sealed.0.path("plug.so"), sealed.0.path("host"));
    compile(&plug_in, &library_file, &["-shared", "-fPIC"]);
    compile(&host, &program, &["-ldl"]);
    for kind in ["deepbind", "dlmopen"] {
        let [permitted, forbidden] = paths(&sealed);
        let words = |path| [text(&program), kind, text(&library_file), path];
        let output = sealed_run(&sealed, &words(text(&permitted)));
        assert_eq!(output.status.code(), Some(0), "{kind} {}", stderr(&output));
        assert!(sealed.ran("permitted"), "{kind}");
        let output = sealed_run(&sealed, &words(text(&forbidden)));
        assert_eq!(output.status.code(), Some(1), "{kind} {}", stderr(&output));
        assert!(!sealed.ran("forbidden"), "{kind}");
        assert!(stderr(&output).contains("Do something else"), "{kind} {}", stderr(&output));
        // Without the seal, the library does not see it.
        let mut open = sealed.command(&["--seal=off"], &words(text(&forbidden)));
        finished(open.env("RAMPART_LIBRARY", library()));
        assert!(sealed.ran("forbidden"), "{kind}");
    }
}

/// `proot` puts a loader of its own in place of each program: its tracees are known by what they call
/// themselves.
#[test]
fn what_a_tracer_starts_in_place_of_a_program_is_asked_about_as_that() {
    let sealed = Sealed::new();
    let source = format!(
        "#include <fcntl.h>\nint main(void) {{ return creat(\"{}\", 0600) < 0; }}\n",
        sealed.mark("forbidden").display()
    );
    let compiled = sealed.compiled("compiled", &source);
    fs::rename(compiled, sealed.0.path("bin/forbidden-program")).unwrap();
    if !works(&sealed, &["proot", "permitted"]) {
        return;
    }
    for (name, runs) in [("permitted", true), ("forbidden", false), ("forbidden-program", false)] {
        let script = sealed.script(&format!("{name}; echo $?"));
        for words in [&["proot", "sh", text(&script)][..], &["proot", name]] {
            let output = sealed_run(&sealed, words);
            let ran = sealed.ran("permitted") || sealed.ran("forbidden");
            assert_eq!(ran, runs, "{words:?} {} {}", stdout(&output), stderr(&output));
        }
    }
}

#[test]
fn libc_by_its_name_and_calls_by_their_number_are_asked_about() {
    let sealed = Sealed::new();
    let script = "import ctypes, os, platform, sys\n\
        way, path = sys.argv[1], sys.argv[2].encode()\n\
        words = (ctypes.c_char_p * 2)(path, None)\n\
        libc = ctypes.CDLL('libc.so.6' if way == 'name' else None, use_errno=True)\n\
        if os.fork() == 0:\n\
        \x20   if way == 'name': libc.execv(path, words)\n\
        \x20   number = 59 if platform.machine() == 'x86_64' else 221\n\
        \x20   if way == 'number': libc.syscall(number, path, words, None)\n\
        \x20   os._exit(ctypes.get_errno())\n\
        sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))\n";
    let script = sealed.0.write("calls.py", script);
    for way in ["name", "number"] {
        let [permitted, forbidden] = paths(&sealed);
        let output = sealed_run(&sealed, &["python3", text(&script), way, text(&permitted)]);
        assert_eq!(output.status.code(), Some(0), "{way} {}", stderr(&output));
        assert!(sealed.ran("permitted"), "{way}");
        let output = sealed_run(&sealed, &["python3", text(&script), way, text(&forbidden)]);
        assert_eq!(output.status.code(), Some(1), "{way} {}", stderr(&output));
        assert!(!sealed.ran("forbidden"), "{way}");
    }
}

#[test]
fn many_threads_that_start_programs_at_once_are_each_answered_and_so_is_who_comes_after() {
    let sealed = Sealed::new();
    let source = r#"#include <errno.h>
        #include <pthread.h>
        #include <spawn.h>
        #include <stdio.h>
        #include <sys/wait.h>
        #include <unistd.h>
        extern char **environ;
        static char **all;
        static int counts[3];
        static void *start(void *unused)
        {
            for (int i = 0; i < 40; i++) {
                char *words[] = {all[1 + i % 2], 0};
                int status = 0, error;
                pid_t child;
                error = posix_spawn(&child, words[0], 0, 0, words, environ);
                if (!error) waitpid(child, &status, 0);
                __sync_fetch_and_add(counts + (error == EPERM ? 1 : error || status ? 2 : 0), 1);
            }
            return unused;
        }
        int main(int count, char **words)
        {
            pthread_t threads[8];
            all = words;
            for (int i = 0; i < 8; i++) pthread_create(threads + i, 0, start, 0);
            for (int i = 0; i < 8; i++) pthread_join(threads[i], 0);
            start(0);
            printf("%d %d %d\n", counts[0], counts[1], counts[2]);
            return 0;
        }"#;
    let source = sealed.0.write("threads.c", source);
    let program = sealed.0.path("threads");
    compile(&source, &program, &["-pthread", "-w"]);
    let [permitted, forbidden] = paths(&sealed);
    let words = [text(&program), text(&permitted), text(&forbidden)];
    for output in [sealed.run(&words), sealed_run(&sealed, &words)] {
        assert_eq!(stdout(&output), "180 180 0\n", "{}", stderr(&output));
    }
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"));
}

#[test]
fn a_root_directory_without_the_library_hides_nothing() {
    let sealed = Sealed::new();
    let marks = "#include <fcntl.h>\n#include <stdio.h>\n#include <string.h>\n\
        int main(int count, char **words)\n\
        {\n\
        \tchar path[64];\n\
        \tsprintf(path, \"/%s.ran\", strrchr(words[0], '/') + 1);\n\
        \treturn creat(path, 0600) < 0;\n\
        }\n";
    let (starts, marks) = (sealed.compiled("starts", STARTS), sealed.compiled("marks", marks));
    let root = sealed.0.path("root");
    fs::create_dir(&root).unwrap();
    for (from, to) in [(&starts, "starts"), (&marks, "permitted"), (&marks, "forbidden")] {
        fs::copy(from, root.join(to)).unwrap();
    }
    let ran = |name: &str| fs::remove_file(root.join(format!("{name}.ran"))).is_ok();
    let words = |name: &'static str| {
        ["env", "unshare", "-U", "-r", "/usr/sbin/chroot", text(&root), "/starts", "vfork", name]
    };
    let bare = words("/permitted");
    let started = Command::new(bare[1]).args(&bare[2..]).status();
    if !ran("permitted") {
        eprintln!("left out: no namespaces for everybody here: {started:?}");
        return;
    }
    let output = sealed_run(&sealed, &words("/permitted"));
    assert!(output.status.success() && ran("permitted"), "{}", stderr(&output));
    let output = sealed_run(&sealed, &words("/forbidden"));
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), "EPERM\n".to_owned()));
    assert!(!ran("forbidden") && stderr(&output).contains("Do something else"), "{output:?}");
    // A program that exists only outside cannot be started, so nothing is asked.
    let outside = marks.to_str().unwrap();
    let words = [&words("")[..8], &[outside]].concat();
    assert!(!sealed_run(&sealed, &words).status.success());
    let is_asked = |line: &serde_json::Value| line["request"]["command"] == outside;
    assert!(!sealed.0.audit().iter().any(is_asked));
}

#[test]
fn what_sandboxes_and_debuggers_start_is_asked_about_and_they_work() {
    let sealed = Sealed::new();
    let calls = sealed.script("permitted; forbidden; exit 0");
    let (calls, world) = (text(&calls), sealed.0.path(""));
    let world = text(&world);
    let trace = sealed.0.path("trace");
    let bwrap = "bwrap --unshare-all --tmpfs / --ro-bind /usr /usr --symlink usr/bin /bin \
        --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev --bind";
    let mut bwrap: Vec<&str> = bwrap.split_whitespace().collect();
    bwrap.extend([world, world, "sh", calls]);
    let strace = ["strace", "-f", "-o", text(&trace), "sh", calls];
    let gdb = "gdb -nx -q -batch -iex set|debuginfod|enabled|off -ex set|startup-with-shell|off -ex run \
        --args sh";
    let gdb: Vec<String> = gdb.split_whitespace().map(|word| word.replace('|', " ")).collect();
    let gdb: Vec<&str> = gdb.iter().map(String::as_str).chain([calls]).collect();
    for words in [&bwrap[..], &strace, &gdb] {
        if !works(&sealed, words) {
            continue;
        }
        let output = sealed_run(&sealed, words);
        assert!(sealed.ran("permitted"), "{words:?} {output:?}");
        assert!(!sealed.ran("forbidden"), "{words:?} {output:?}");
        assert!(stderr(&output).contains("Do something else"), "{words:?} {output:?}");
        if words[0] == "strace" {
            let trace = fs::read_to_string(&trace).unwrap();
            let refused = |line: &str| line.contains("/forbidden\"") && line.contains("= -1 EPERM");
            assert!(trace.lines().any(refused), "{trace}");
        }
    }
}

#[test]
fn what_a_go_program_starts_is_asked_about_with_and_without_cgo() {
    let sealed = Sealed::new();
    let source = r#"package main
import ("fmt"; "os"; "os/exec"; "syscall")
func main() {
	path := os.Args[2]
	switch os.Args[1] {
	case "run":
		fmt.Println(exec.Command(path).Run())
	case "line":
		command := exec.Command("/bin/sh", "-c", path)
		command.Stderr = os.Stderr
		fmt.Println(command.Run())
	case "become":
		fmt.Println(syscall.Exec(path, []string{path}, os.Environ()))
	}
}
"#;
    let source = sealed.0.write("starts.go", source);
    for cgo in ["0", "1"] {
        let program = sealed.0.path(&format!("go{cgo}"));
        let mut build = Command::new("go");
        build.args(["build", "-o", text(&program), text(&source)]).env("CGO_ENABLED", cgo);
        if !build.env("GOFLAGS", "-mod=mod").status().is_ok_and(|status| status.success()) {
            eprintln!("left out: no Go here");
            return;
        }
        for (way, refused, ends) in [
            ("run", "operation not permitted\n", 0),
            ("line", "exit status 126\n", 0),
            ("become", "operation not permitted\n", 0),
        ] {
            let [permitted, forbidden] = paths(&sealed);
            let output = sealed_run(&sealed, &[text(&program), way, text(&permitted)]);
            assert!(sealed.ran("permitted"), "{way} {}", stderr(&output));
            let output = sealed_run(&sealed, &[text(&program), way, text(&forbidden)]);
            assert!(!sealed.ran("forbidden"), "{way}");
            assert!(stdout(&output).ends_with(refused), "{way} {output:?}");
            assert_eq!(output.status.code(), Some(ends), "{way}");
            if way != "run" {
                assert!(stderr(&output).contains("Do something else"), "{way} {output:?}");
            }
        }
    }
}
