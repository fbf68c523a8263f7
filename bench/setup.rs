//! Builds the probes, and defines how each is run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// The clients' core.
pub const CLIENT_CORE: &str = "0";
/// The other core, for servers that run in parallel.
pub const OTHER_CORE: &str = "1";

/// The servers' policy: `true refused` is denied, all else is allowed.
const POLICY: &str = r#"version: "1"
default_action: allow
policies:
  - name: bench
    match: {tool: exec}
    rules:
      - action: deny
        when: {command_matches: ["true refused"]}
        message: "refused, so that only the check is timed"
"#;

/// Everything that the rows need.
pub struct Setup {
    directory: TempDir,
    pub library: PathBuf,
    pub empty_library: PathBuf,
    pub rampart: PathBuf,
    pub token: String,
}

impl Setup {
    pub fn new() -> Result<Self, String> {
        let directory =
            TempDir::with_prefix("rampart-bench-").map_err(|error| error.to_string())?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
        let here = fs::canonicalize(target.join("release"))
            .map_err(|error| format!("{}: {error}; run `make` first", target.display()))?;
        let setup = Self {
            empty_library: directory.path().join("empty.so"),
            library: here.join("librampart.so"),
            rampart: here.join("rampart"),
            token: "bench-token".into(),
            directory,
        };
        for probe in
            ["spawn", "check", "raw", "echo", "number", "idle", "crowd", "notifier", "burst"]
        {
            setup.compile(probe, &["-O2", "-Wall"], probe)?;
        }
        setup.compile("spawn", &["-O2", "-Wall", "-static", "-DALONE"], "spawn-static")?;
        setup.compile("empty", &["-shared", "-fPIC"], "empty.so")?;
        // Pages not yet written to the disk would count as dirty memory of each process that maps
        // them.
        fs::File::open(&setup.library)
            .and_then(|library| library.sync_all())
            .map_err(|error| format!("{}: {error}", setup.library.display()))?;
        fs::write(setup.policy(), POLICY).map_err(|error| error.to_string())?;
        fs::write(setup.path("token"), &setup.token).map_err(|error| error.to_string())?;
        Ok(setup)
    }

    /// A file of this benchmark run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The policy of most servers.
    pub fn policy(&self) -> PathBuf {
        self.path("policy.yaml")
    }

    fn compile(&self, probe: &str, flags: &[&str], output: &str) -> Result<(), String> {
        let source = format!("bench/probes/{probe}.c");
        let mut cc = Command::new("cc");
        let status = cc.args(flags).arg("-o").arg(self.path(output)).arg(&source).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("cc {source}: {status}")),
            Err(error) => Err(format!("cc: {error}; a C compiler is needed")),
        }
    }

    /// A probe under the library, which asks the server at `url`.
    pub fn guarded(&self, core: &str, probe: &str, url: &str) -> Command {
        let mut command = self.bare(core, probe);
        command
            .env("LD_PRELOAD", &self.library)
            .env("RAMPART_URL", url)
            .env("RAMPART_TOKEN", &self.token)
            .env("RAMPART_FAIL_OPEN", "0")
            .env("RAMPART_NOTICE", "0")
            .env("RAMPART_SESSION", "bench");
        command
    }

    /// A probe without the library.
    pub fn bare(&self, core: &str, probe: &str) -> Command {
        let mut command = Command::new(self.path(probe));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("BENCH_CORE", core);
        command
    }
}
