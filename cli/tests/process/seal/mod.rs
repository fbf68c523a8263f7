//! Sealed runs: the kernel asks, mostly without the library.

mod ancestry;
mod answers;
mod clients;
mod library;
mod life;
mod programs;
mod review;
mod surroundings;
mod telling;
mod unsealed;
mod ways;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::world::{World, compile, finished};

/// Denies `forbidden…`, and files without a name.
const POLICY: &str = r#"version: "1"
default_action: allow
policies:
  - name: no-forbidden
    match: { tool: exec }
    rules:
      - action: deny
        when: { command_matches: ["forbidden*", "*/memfd:*"] }
        message: "Do something else"
"#;

/// A home with a library that does nothing, and two programs that only leave a mark.
struct Sealed(World);

impl Sealed {
    fn new() -> Self {
        let world = World::with_library();
        world.write("p.yaml", POLICY);
        let sealed = Self(world);
        sealed.mark_leaver("forbidden");
        sealed.mark_leaver("permitted");
        sealed
    }

    /// A program that leaves a mark, and does nothing else.
    fn mark_leaver(&self, name: &str) -> PathBuf {
        let text = format!("#!/bin/sh\n: > {}\n", self.mark(name).display());
        let path = self.0.write(&format!("bin/{name}"), &text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn mark(&self, name: &str) -> PathBuf {
        self.0.path(&format!("{name}.ran"))
    }

    /// Whether the program ran since the last call.
    fn ran(&self, name: &str) -> bool {
        fs::remove_file(self.mark(name)).is_ok()
    }

    /// A static program, so without the library.
    fn compiled(&self, name: &str, source: &str) -> PathBuf {
        let source = self.0.write(&format!("{name}.c"), source);
        let program = self.0.path(name);
        compile(&source, &program, &["-static", "-w", "-pthread"]);
        program
    }

    /// A Python script that executes its arguments with a seccomp filter that makes a system call
    /// fail with `EPERM`. The call is given by its numbers on x86-64 and on other machines.
    fn failing_call(&self, x86_64: u32, other: u32) -> PathBuf {
        let text = format!(
            "import ctypes, os, platform, struct, sys\n\
            libc = ctypes.CDLL(None, use_errno=True)\n\
            number = {x86_64} if platform.machine() == 'x86_64' else {other}\n\
            code = [(0x20,0,0,0), (0x15,0,1,number), (6,0,0,0x50001), (6,0,0,0x7fff0000)]\n\
            room = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *it) for it in code))\n\
            class Program(ctypes.Structure):\n\
            \x20   _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]\n\
            program = Program(len(code), ctypes.addressof(room))\n\
            assert libc.prctl(38, 1, 0, 0, 0) == 0\n\
            assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0\n\
            os.execvp(sys.argv[1], sys.argv[1:])\n"
        );
        self.0.write("closed.py", &text)
    }

    /// A shell script in a file, which the policy does not read.
    fn script(&self, text: &str) -> PathBuf {
        self.0.write("script.sh", text)
    }

    fn command(&self, flags: &[&str], words: &[&str]) -> Command {
        let mut command = self.0.rampart(["preload"]);
        // A server and a policy cannot both be named.
        if !flags.contains(&"--url") {
            command.args(["--policy", "p.yaml"]);
        }
        let path = format!("{}:/usr/bin:/bin", self.0.path("bin").display());
        let flags = if flags.is_empty() { &["--seal"] } else { flags };
        command.args(flags).arg("--").args(words).env("PATH", path);
        command
    }

    /// The same command, started by a wrapper.
    fn wrapped(&self, wrapper: &[&str], command: &Command) -> Command {
        let mut outer = Command::new(wrapper[0]);
        outer.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args());
        outer.env_clear().current_dir(self.0.path("")).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            outer.env(name, value.unwrap_or_default());
        }
        outer
    }

    fn run(&self, words: &[&str]) -> Output {
        finished(&mut self.command(&[], words))
    }
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}
