//! What the library does in a sealed run: it leaves questions to the kernel and messages to the
//! keeper.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::{Sealed, text};
use crate::team::library;
use crate::world::{compile, finished, stderr, stdout, wait_until};

fn with_library(sealed: &Sealed, flags: &[&str], words: &[&str]) -> Command {
    let mut command = sealed.command(flags, words);
    command.env("RAMPART_LIBRARY", library());
    command
}

/// Who asked about each command that begins with this word.
fn askers(sealed: &Sealed, word: &str) -> Vec<String> {
    let audit = sealed.0.audit();
    let of_word =
        audit.iter().filter(|line| line["request"]["command"].as_str().unwrap().starts_with(word));
    of_word.map(|line| line["request"]["by"].as_str().unwrap_or("library").to_owned()).collect()
}

#[test]
fn the_kernel_alone_asks_also_about_what_is_refused() {
    let sealed = Sealed::new();
    let script = sealed.script("permitted\nforbidden one\necho $?\n");
    let output = finished(&mut with_library(&sealed, &[], &["sh", text(&script)]));
    assert_eq!(stdout(&output), "126\n");
    let why = "rampart: blocked forbidden: Do something else [no-forbidden]";
    assert!(stderr(&output).contains(why), "{}", stderr(&output));
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"));
    sealed.0.audit_of(2);
    assert_eq!(askers(&sealed, "permitted"), ["kernel"]);
    assert_eq!(askers(&sealed, "forbidden"), ["kernel"]);
}

/// As `fakechroot` does with scripts.
#[test]
fn what_another_library_makes_of_a_call_does_not_hide_what_the_program_said() {
    let sealed = Sealed::new();
    let source = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <string.h>\n\
        int execve(const char *path, char *const words[], char *const environment[])\n\
        {\n\
        \tint (*next)() = dlsym(RTLD_NEXT, \"execve\");\n\
        \tif (!strstr(path, \"/bin/permitted\") && !strstr(path, \"/bin/forbidden\"))\n\
        \t\treturn next(path, words, environment);\n\
        \tconst char *script[] = {\"/bin/sh\", path, 0};\n\
        \treturn next(script[0], script, environment);\n\
        }\n";
    let source = sealed.0.write("other.c", source);
    let other = sealed.0.path("other.so");
    compile(&source, &other, &["-shared", "-fPIC", "-w"]);
    let script = sealed.script("permitted\nforbidden\necho $?\n");
    let mut command = with_library(&sealed, &[], &["sh", text(&script)]);
    let output = finished(command.env("LD_PRELOAD", &other));
    assert_eq!(stdout(&output), "126\n", "{}", stderr(&output));
    assert!(stderr(&output).contains("Do something else"), "{}", stderr(&output));
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"));
    // The kernel asks as well, about what it is to start.
    sealed.0.audit_of(5);
    let changed = |name: &str| format!("/bin/sh {}", text(&sealed.0.path("bin").join(name)));
    assert_eq!(askers(&sealed, &changed("permitted")), ["kernel"]);
    assert_eq!(askers(&sealed, &changed("forbidden")), [""; 0]);
}

#[test]
fn each_way_to_start_a_program_fails_by_its_own_contract_and_tells_the_reason() {
    let sealed = Sealed::new();
    let script = "import os, subprocess, sys\n\
        f, p = sys.argv[1:]\n\
        def told(call):\n\
        \x20   try: call(); print('ran', flush=True)\n\
        \x20   except OSError as error: print(error.errno, flush=True)\n\
        told(lambda: subprocess.run([f]))\n\
        told(lambda: subprocess.run([f], close_fds=False))\n\
        told(lambda: os.posix_spawn(f, [f], os.environ))\n\
        told(lambda: os.posix_spawnp(f, [f], {}))\n\
        told(lambda: os.execv(f, [f]))\n\
        told(lambda: os.execve(f, [f], {}))\n\
        told(lambda: os.execvp(f, [f]))\n\
        told(lambda: subprocess.run([p], env={}))\n\
        os.execve(p, [p], {})\n";
    let script = sealed.0.write("calls.py", script);
    let (forbidden, permitted) = (sealed.0.path("bin/forbidden"), sealed.0.path("bin/permitted"));
    let words = ["python3", text(&script), text(&forbidden), text(&permitted)];
    // With the other styles, the same attempt is reported once.
    let output = finished(&mut with_library(&sealed, &["--refusal=errno"], &words));
    assert_eq!(stdout(&output), "1\n".repeat(7) + "ran\n", "{}", stderr(&output));
    assert_eq!(stderr(&output).matches("Do something else").count(), 7, "{}", stderr(&output));
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"));
}

#[test]
fn where_the_library_can_reach_nobody_the_kernel_decides_and_the_reason_is_told() {
    let sealed = Sealed::new();
    // As in the sandboxes of codex and claude: connect(2) fails, here by its number.
    let closed = sealed.failing_call(42, 203);
    let script = sealed.script("permitted\nforbidden\nperl -e 'system(\"permitted; :\")'\n");
    let words = ["python3", text(&closed), "sh", text(&script)];
    let output = finished(&mut with_library(&sealed, &[], &words));
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"), "{}", stderr(&output));
    let told: Vec<_> = stderr(&output)
        .lines()
        .filter(|it| it.contains("rampart: blocked "))
        .map(str::to_owned)
        .collect();
    assert!(told.len() == 1 && told[0].contains("Do something else"), "{told:?}");
}

#[test]
fn what_the_first_process_passes_on_needs_no_repair() {
    let sealed = Sealed::new();
    for flag in ["--seal=on", "--seal=off"] {
        let words = ["sh", "-c", "sh -c 'env; :'; :"];
        let output = finished(&mut with_library(&sealed, &[flag], &words));
        let passed_on = stdout(&output);
        assert!(passed_on.contains("RAMPART_URL="), "{}", stderr(&output));
        // A repair is counted, so that one that never ends is noticed.
        assert!(!passed_on.contains("RAMPART_AGAIN="), "{flag} {passed_on}");
    }
}

#[test]
fn no_signal_handler_interrupts_a_call_that_starts_a_program() {
    let sealed = Sealed::new();
    // Handlers of Python's have no SA_RESTART. A file that is no program fails with EACCES.
    let script = "import os, signal, sys\n\
        signal.signal(signal.SIGALRM, lambda *_: None)\n\
        signal.setitimer(signal.ITIMER_REAL, 5e-5, 5e-5)\n\
        found = set()\n\
        for _ in range(2000):\n\
        \x20   try: os.execv(sys.argv[0], ['x'])\n\
        \x20   except OSError as error: found.add(error.errno)\n\
        signal.setitimer(signal.ITIMER_REAL, 0)\n\
        print(found)\n";
    let script = sealed.0.write("interrupted.py", script);
    let output = finished(&mut with_library(&sealed, &[], &["python3", text(&script)]));
    assert_eq!(stdout(&output), "{13}\n", "{}", stderr(&output));
}

#[test]
fn that_the_keeper_is_gone_is_told() {
    let sealed = Sealed::new();
    let mut command = with_library(&sealed, &[], &["sh", text(&sealed.0.path("wait.sh"))]);
    sealed.0.write("wait.sh", "echo $PPID\nread x\npermitted\n");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut keeper = String::new();
    said.read_line(&mut keeper).unwrap();
    assert!(Command::new("kill").args(["-9", keeper.trim()]).status().unwrap().success());
    let gone = || !std::path::Path::new(&format!("/proc/{}/fd", keeper.trim())).join("0").exists();
    wait_until("the end of the keeper", gone);
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(stderr(&output).contains("the keeper of this sealed run is gone"), "{output:?}");
    assert!(!sealed.ran("permitted"));
}

#[test]
fn what_an_environment_says_of_a_seal_that_is_not_there_skips_no_question() {
    let sealed = Sealed::new();
    let script = sealed.script("RAMPART_SEALED=2000 permitted\nRAMPART_SEALED=2000 forbidden\n");
    let mut open = with_library(&sealed, &["--seal=off"], &["sh", text(&script)]);
    let output = finished(open.env("RAMPART_SEALED", "2000"));
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"), "{}", stderr(&output));
    sealed.0.audit_of(2);
    assert_eq!(askers(&sealed, "permitted"), ["library"]);
    assert_eq!(askers(&sealed, "forbidden"), ["library"]);
    // In a sealed run a program cannot take the mark from its children.
    let script = sealed.script("env -i RAMPART_SEALED=1 sh -c 'echo $RAMPART_SEALED'\n");
    let output = finished(&mut with_library(&sealed, &[], &["sh", text(&script)]));
    assert!(stdout(&output).trim().parse::<u16>().unwrap() >= 1024, "{}", stdout(&output));
}

#[test]
fn a_program_that_the_library_keeps_off_is_still_asked_about_by_the_kernel() {
    let sealed = Sealed::new();
    let script = sealed.script(
        "if [ -n \"${LD_PRELOAD-}\" ]; then exec env -i PATH=\"$PATH\" sh \"$0\"; fi\n\
         permitted\nforbidden one\necho \"$? ${LD_PRELOAD-clean}\"\n",
    );
    let output = finished(&mut with_library(&sealed, &[], &["sh", text(&script)]));
    assert_eq!(stdout(&output), "126 clean\n", "{}", stderr(&output));
    assert!(!stderr(&output).contains("starts itself anew"), "{}", stderr(&output));
    assert!(sealed.ran("permitted") && !sealed.ran("forbidden"));
}
