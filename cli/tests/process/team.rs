//! A world whose runs are guarded by a TLS server, with the real library.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::embedded::Waiting;
use crate::remote::{Authority, Remote, SECRET};
use crate::world::{World, finished};

/// Long enough for a slow machine, short enough for a test that waits for it.
const TIMEOUT_MS: &str = "700";

/// A world with a CA, a server and a stub command.
pub struct Team {
    pub world: World,
    pub authority: Authority,
    pub remote: Remote,
    pub stub: PathBuf,
}

impl Team {
    pub fn new() -> Self {
        let world = World::new();
        let authority = Authority::new("the team");
        authority.file(&world);
        let remote = Remote::start(authority.certify("localhost"));
        let stub = stub(&world);
        Self { world, authority, remote, stub }
    }

    /// Runs a script in which `$stub FILE` leaves a mark in a file.
    pub fn guard(&self, flags: &[&str], script: &str) -> Output {
        self.guard_with(&self.remote.url(), flags, &[], script)
    }

    pub fn guard_with(
        &self,
        url: &str,
        flags: &[&str],
        variables: &[(&str, &str)],
        script: &str,
    ) -> Output {
        let mut words = vec!["preload", "--url", url, "--ca", "ca.pem"];
        words.extend(flags);
        words.extend(["--", "sh", "-c", script]);
        let mut command = self.world.rampart(words);
        command
            .env("RAMPART_LIBRARY", library())
            .env("RAMPART_TOKEN", SECRET)
            .env("RAMPART_TIMEOUT_MS", TIMEOUT_MS)
            .env("stub", &self.stub)
            .envs(variables.iter().copied());
        finished(&mut command)
    }

    /// How many marks are in this file, which is then removed.
    pub fn marks(&self, file: &str) -> usize {
        let path = self.world.path(file);
        let marks = fs::read_to_string(&path).unwrap_or_default().lines().count();
        let _ = fs::remove_file(path);
        marks
    }

    /// A guarded shell that waits, and access to its relay.
    pub fn waiting(&self) -> Waiting {
        self.waiting_for(&self.remote.url())
    }

    pub fn waiting_for(&self, url: &str) -> Waiting {
        let flags = ["--url", url, "--ca", "ca.pem"];
        let library = library();
        let library = library.to_str().unwrap();
        let variables = [("RAMPART_TOKEN", SECRET), ("RAMPART_LIBRARY", library)];
        Waiting::start_with(&self.world, &flags, &variables)
    }
}

/// A command that only leaves a mark in a file.
pub fn stub(world: &World) -> PathBuf {
    let stub = world.write("stub", "#!/bin/sh\necho ran >> \"$1\"\n");
    fs::set_permissions(&stub, Permissions::from_mode(0o755)).unwrap();
    stub
}

/// The library that `make` built.
pub fn library() -> PathBuf {
    let given = std::env::var_os("RAMPART_TEST_LIBRARY").map(PathBuf::from);
    let library = given.unwrap_or_else(|| {
        let target = Path::new(env!("CARGO_BIN_EXE_rampart")).ancestors().nth(2).unwrap();
        target.join("release/librampart.so")
    });
    assert!(library.is_file(), "{} is missing: run `make` first", library.display());
    library
}
