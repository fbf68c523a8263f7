//! Agents that need more than the library in their processes, by name.
//!
//! Seen with codex 0.171 and claude 2.1: both run their commands in sandboxes of their own, in
//! which nobody can connect to a policy server, and codex is a static program. And seen with
//! codex, claude and cline: a process that stays behind takes over the work of later runs.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// An agent that is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Agent {
    /// What it is called as a program.
    pub name: &'static str,
    /// Why the library does not see what it does; `None`: it does.
    pub why: Option<&'static str>,
    pub daemon: Daemon,
}

/// A process of an agent that stays behind, and starts what later runs want started.
#[derive(Debug, PartialEq, Eq)]
pub struct Daemon {
    /// What it is called.
    pub name: &'static str,
    /// Words of its command line: it has all of them.
    words: &'static [&'static str],
    /// A command of the agent with one of these words leaves its work to it; none: every command.
    used_with: &'static [&'static str],
    /// One with one of these does not.
    unused_with: &'static [&'static str],
    /// How a person gets on, in words.
    pub way_out: &'static str,
}

/// All that are known.
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
            way_out: "`claude daemon stop --any` ends it, and the next one is of the guarded run",
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
            way_out: "`codex --no-daemon` does without it, `codex app-server daemon stop` ends it",
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
            way_out: "end that process, and the next one is of the guarded run",
        },
    },
];

/// Programs that start the one that their arguments name.
const LAUNCHERS: &[&str] = &[
    "bun", "bunx", "env", "exec", "nice", "node", "nohup", "npx", "pnpx", "setsid", "stdbuf",
    "time",
];

impl Agent {
    /// Whether a command that starts this agent leaves its work to its daemon, if that is there.
    pub fn leaves_work_to_daemon(&self, command: &[OsString]) -> bool {
        let has = |words: &[&str]| command.iter().any(|it| words.iter().any(|word| it == word));
        let Daemon { used_with, unused_with, .. } = self.daemon;
        (used_with.is_empty() || has(used_with)) && !has(unused_with)
    }

    /// Whether a process with these words is this agent's daemon.
    pub fn has_daemon(&self, words: &[&[u8]]) -> bool {
        // A script is the second word, after its interpreter.
        let is_this = |word: &&[u8]| named(OsStr::from_bytes(word)) == Some(self);
        words.iter().take(2).any(is_this)
            && self.daemon.words.iter().all(|word| words.contains(&word.as_bytes()))
    }
}

/// The agent of this name.
pub fn named(name: &OsStr) -> Option<&'static Agent> {
    // A script of npm's may be called by its file.
    let name = Path::new(name).file_name()?.as_bytes();
    let name = name.strip_suffix(b".js").or(name.strip_suffix(b".exe")).unwrap_or(name);
    AGENTS.iter().find(|agent| agent.name.as_bytes() == name)
}

/// What a command is about to start, by way of launchers: `env A=1 npx codex` starts codex.
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

/// The agent that a command starts, also by way of a launcher.
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
