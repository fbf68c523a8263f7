//! Agents whose commands the library alone does not see, by name.
//!
//! Seen with codex 0.171 and claude 2.1: both run their commands in sandboxes of their own, in
//! which nobody can connect to a policy server, and codex is a static program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// An agent that is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Agent {
    /// What it is called as a program.
    pub name: &'static str,
    /// Why the library does not see what it does.
    pub why: &'static str,
}

/// All that are known.
const AGENTS: &[Agent] = &[
    Agent {
        name: "claude",
        why: "claude runs commands in a sandbox of its own, where no policy server can be reached",
    },
    Agent {
        name: "codex",
        why: "codex is a static program, and runs commands in a sandbox of its own, where no \
            policy server can be reached",
    },
];

/// Programs that start the one that their arguments name.
const LAUNCHERS: &[&str] = &["bun", "bunx", "env", "node", "nohup", "npx", "pnpx", "stdbuf"];

/// The agent of this name.
pub fn named(name: &OsStr) -> Option<&'static Agent> {
    // A script of npm's may be called by its file.
    let name = Path::new(name).file_name()?.as_bytes();
    let name = name.strip_suffix(b".js").unwrap_or(name);
    AGENTS.iter().find(|agent| agent.name.as_bytes() == name)
}

/// The agent that a command starts, also by way of a launcher: `env A=1 npx codex`.
pub fn started_by(command: &[OsString]) -> Option<&'static Agent> {
    let is_launcher = |word: &OsStr| {
        let name = Path::new(word).file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| LAUNCHERS.contains(&name))
    };
    for word in command {
        let bytes = word.as_bytes();
        let is_of_launcher = bytes.starts_with(b"-") || bytes.contains(&b'=');
        if !is_of_launcher && !is_launcher(word) {
            return named(word);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::started_by;

    #[test]
    fn an_agent_is_known_by_its_name_also_behind_a_launcher() {
        for (line, name) in [
            ("codex", Some("codex")),
            ("/usr/local/bin/codex exec task", Some("codex")),
            ("env A=1 -u B npx -y claude -p x", None),
            ("env A=1 npx -y claude -p x", Some("claude")),
            ("node /opt/codex/bin/codex.js exec", Some("codex")),
            ("git commit -m codex", None),
            ("python codex.py", None),
            ("env", None),
            ("", None),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(started_by(&words).map(|agent| agent.name), name, "{line}");
        }
    }
}
