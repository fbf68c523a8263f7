//! Agents that the library alone does not cover, by name.
//!
//! codex 0.171 and claude 2.1 run commands in their own sandboxes, where no policy server can be
//! reached, and codex is a static program. codex, claude and cline leave a daemon behind that does
//! the work of later runs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A known agent.
#[derive(Debug, PartialEq, Eq)]
pub struct Agent {
    /// The name of its program.
    pub name: &'static str,
    /// Why the library does not see what it does; `None` if it does.
    pub why: Option<&'static str>,
    pub daemon: Daemon,
}

/// A background process of an agent that starts programs for later runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Daemon {
    /// What the agent's documentation calls it.
    pub name: &'static str,
    /// Its command line has all of these words.
    words: &'static [&'static str],
    /// The agent uses the daemon if its command line has one of these words; if empty, always.
    used_with: &'static [&'static str],
    /// The agent does not use the daemon if its command line has one of these words.
    unused_with: &'static [&'static str],
    /// How to go on without it, for messages.
    pub way_out: &'static str,
}

/// All known agents.
const AGENTS: &[Agent] = &[
    Agent {
        name: "claude",
        why: Some(
            "claude runs commands in a sandbox of its own, where no policy server can be reached",
        ),
        daemon: Daemon {
            name: "background service",
            words: &["daemon", "run"],
            used_with: &["--bg", "--background", "agents", "attach"],
            unused_with: &[],
            way_out: "stop it with `claude daemon stop --any`, and the guarded run starts its own",
        },
    },
    Agent {
        name: "codex",
        why: Some(
            "codex is a static program, and runs commands in a sandbox of its own, where no \
            policy server can be reached",
        ),
        daemon: Daemon {
            name: "app server",
            words: &["app-server", "--listen"],
            used_with: &[],
            unused_with: &["--no-daemon", "exec", "e"],
            way_out: "use `codex --no-daemon`, or stop it with `codex app-server daemon stop`",
        },
    },
    Agent {
        name: "cline",
        why: None,
        daemon: Daemon {
            name: "hub",
            words: &["--cline-hub-daemon"],
            used_with: &[],
            unused_with: &[],
            way_out: "end that process, and the guarded run starts its own",
        },
    },
];

/// Programs that start the program named in their arguments.
const LAUNCHERS: &[&str] = &[
    "bun", "bunx", "env", "exec", "nice", "node", "nohup", "npx", "pnpx", "setsid", "stdbuf",
    "time",
];

impl Agent {
    /// Whether this command line of the agent has a running daemon do the work.
    pub fn leaves_work_to_daemon(&self, command: &[OsString]) -> bool {
        let has = |words: &[&str]| command.iter().any(|it| words.iter().any(|word| it == word));
        let Daemon { used_with, unused_with, .. } = self.daemon;
        (used_with.is_empty() || has(used_with)) && !has(unused_with)
    }

    /// Whether a process with this argument list is the agent's daemon.
    pub fn has_daemon(&self, words: &[&[u8]]) -> bool {
        // For a script, the first word is the interpreter.
        let is_this = |word: &&[u8]| named(OsStr::from_bytes(word)) == Some(self);
        words.iter().take(2).any(is_this)
            && self.daemon.words.iter().all(|word| words.contains(&word.as_bytes()))
    }
}

/// The agent of this name.
pub fn named(name: &OsStr) -> Option<&'static Agent> {
    // npm scripts may be named by their file, such as `codex.js`.
    let name = Path::new(name).file_name()?.as_bytes();
    let name = name.strip_suffix(b".js").or(name.strip_suffix(b".exe")).unwrap_or(name);
    AGENTS.iter().find(|agent| agent.name.as_bytes() == name)
}

/// The program that a command starts once launchers are skipped: codex for `env A=1 npx codex`.
pub fn launched(command: &[OsString]) -> Option<&OsStr> {
    let is_launcher = |word: &OsStr| {
        let name = Path::new(word).file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| LAUNCHERS.contains(&name))
    };
    command.iter().map(OsString::as_os_str).find(|word| {
        let bytes = word.as_bytes();
        let is_of_launcher = bytes.starts_with(b"-") || bytes.contains(&b'=');
        !is_of_launcher && !is_launcher(word)
    })
}

/// The agent that a command starts, directly or through launchers.
pub fn started_by(command: &[OsString]) -> Option<&'static Agent> {
    launched(command).and_then(named)
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, OsString};

    use super::{named, started_by};

    #[test]
    fn an_agent_is_known_by_its_name_also_behind_a_launcher() {
        for (line, name) in [
            ("codex", Some("codex")),
            ("/usr/local/bin/codex exec task", Some("codex")),
            ("env A=1 -u B npx -y claude -p x", None),
            ("env A=1 npx -y claude -p x", Some("claude")),
            ("node /opt/codex/bin/codex.js exec", Some("codex")),
            ("/opt/claude.exe -p x", Some("claude")),
            ("setsid cline", Some("cline")),
            ("git commit -m codex", None),
            ("python codex.py", None),
            ("env", None),
            ("", None),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(started_by(&words).map(|agent| agent.name), name, "{line}");
        }
    }

    #[test]
    fn a_daemon_is_known_by_its_words_and_who_uses_it_too() {
        for (name, line, is_one) in [
            ("codex", "/x/bin/codex app-server --listen unix:// --managed-daemon", true),
            ("codex", "codex app-server", false),
            ("codex", "/usr/bin/less app-server --listen codex", false),
            ("claude", "/x/bin/claude.exe daemon run --origin transient", true),
            ("claude", "claude -p daemon", false),
            ("cline", "node /x/bin/cline --cline-hub-daemon --cwd /", true),
            ("codex", "node /x/bin/cline --cline-hub-daemon --cwd /", false),
        ] {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let agent = named(OsStr::new(name)).expect("an agent");
            assert_eq!(agent.has_daemon(&words), is_one, "{line}");
        }
        for (line, uses) in [
            ("codex", true),
            ("codex --no-daemon", false),
            ("codex exec task", false),
            ("claude -p task", false),
            ("claude --bg task", true),
            ("cline task", true),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let agent = started_by(&words).expect("an agent");
            assert_eq!(agent.leaves_work_to_daemon(&words), uses, "{line}");
        }
    }
}
