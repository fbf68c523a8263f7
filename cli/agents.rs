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
    /// The name of its package at npm, without the scope.
    package: &'static str,
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
        package: "claude-code",
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
        package: "codex",
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
        package: "cline",
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

/// Programs that start the program named in their arguments, and their subcommands that do.
const LAUNCHERS: &[&str] = &[
    "bun", "bunx", "dlx", "env", "exec", "ionice", "mise", "nice", "node", "nohup", "npm", "npx",
    "pnpm", "pnpx", "setsid", "stdbuf", "time", "timeout", "x", "yarn",
];
/// Shells that may be given such a command as a line.
const SHELLS: &[&str] = &["bash", "dash", "fish", "ksh", "sh", "zsh"];

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

/// The agent of this name, be it that of its program, of its file or of its package.
pub fn named(name: &OsStr) -> Option<&'static Agent> {
    let name = Path::new(name).file_name()?.as_bytes();
    // A package may be named with its version, such as `codex@latest`.
    let name = name.split(|byte| *byte == b'@').next()?;
    // npm scripts may be named by their file, such as `codex.js`.
    let name = name.strip_suffix(b".js").or(name.strip_suffix(b".exe")).unwrap_or(name);
    AGENTS.iter().find(|agent| [agent.name, agent.package].map(str::as_bytes).contains(&name))
}

/// The program that a command starts once launchers are skipped: codex for `env A=1 npx codex` and
/// for `sh -c 'cd x && codex'`.
pub fn launched(command: &[OsString]) -> Option<&OsStr> {
    let program = program_of(command.iter().map(OsString::as_os_str))?;
    Some(agent_in_line(program, command).unwrap_or(program))
}

fn program_of<'c>(mut words: impl Iterator<Item = &'c OsStr>) -> Option<&'c OsStr> {
    words.find(|word| {
        let bytes = word.as_bytes();
        let is_of_launcher = bytes.starts_with(b"-")
            || bytes.contains(&b'=')
            || bytes.first().is_some_and(u8::is_ascii_digit);
        !is_of_launcher && !is_one_of(LAUNCHERS, word)
    })
}

/// The known agent that the shell `program` starts by the line that it is given.
fn agent_in_line<'c>(program: &OsStr, command: &'c [OsString]) -> Option<&'c OsStr> {
    let is_line = |option: &OsStr| {
        let option = option.as_bytes();
        option.starts_with(b"-") && !option.starts_with(b"--") && option.ends_with(b"c")
    };
    let mut behind = command.iter().skip_while(|word| *word != program);
    behind.next().filter(|shell| is_one_of(SHELLS, shell))?;
    behind.find(|option| is_line(option))?;
    let commands = behind.next()?.to_str()?.split(|c: char| ";&|(\n".contains(c));
    let mut programs = commands.filter_map(|it| program_of(it.split_whitespace().map(OsStr::new)));
    programs.find(|program| named(program).is_some())
}

fn is_one_of(names: &[&str], program: &OsStr) -> bool {
    let name = Path::new(program).file_name().and_then(OsStr::to_str);
    name.is_some_and(|name| names.contains(&name))
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
            ("npx -y @anthropic-ai/claude-code@2.1 -p x", Some("claude")),
            ("npx --yes @openai/codex@latest exec x", Some("codex")),
            ("pnpm dlx @openai/codex", Some("codex")),
            ("npm exec -- codex", Some("codex")),
            ("timeout -k 5 10m codex exec x", Some("codex")),
            ("npx @openai/codex-sdk", None),
            ("npm run codex", None),
            ("git commit -m codex", None),
            ("python codex.py", None),
            ("env", None),
            ("", None),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(started_by(&words).map(|agent| agent.name), name, "{line}");
        }
        for (shell, line, name) in [
            ("sh -c", "codex exec 'do it'", Some("codex")),
            ("env A=1 /bin/bash -lc", "cd /w && A=1 exec codex", Some("codex")),
            ("zsh -ic", "claude -p x | tee log", Some("claude")),
            ("sh -c", "git commit -m codex", None),
            ("sh -e", "codex", None),
            ("python -c", "codex", None),
        ] {
            let words = shell.split(' ').chain([line]).map(OsString::from);
            let words: Vec<OsString> = words.collect();
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
