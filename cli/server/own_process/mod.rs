//! Commands that would end the server itself, or change what it is to allow. They are refused whatever the policy says: they
//! would take the guard away from the whole tree, and hardly ever mean to.
//!
//! What a program is started with is known exactly, by its process number, name and command
//! line; of a shell's text only what is plain (a `kill` that is built into the shell).

mod files;
mod killers;
mod words;

use std::fs;

use nix::unistd::{User, geteuid, getpgrp, getppid, getsid};

use super::question::Question;

/// Why a guarded process may not change what it is allowed.
const FOR_A_PERSON: &str = "What is allowed here is for the person to say who started this agent. \
     Tell which command you need, and why.";

/// Whether a command changes what is allowed. The first word is the last component of the
/// program's path.
fn is_for_a_person(words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["rampart", "allow" | "approve" | "block" | "deny" | "watch", ..]
        | ["rampart", "rules", "remove", ..] => true,
        ["rampart", "setup", ref options @ ..] => {
            options.iter().any(|option| *option == "--remove" || option.starts_with("--agent"))
        }
        _ => false,
    }
}

/// Whether a program that is started by these words is one of the commands of a line, word for
/// word: a shell that was let run it starts it.
pub fn same_command(line: &str, command: &str) -> bool {
    let mut commands = words::split(command);
    let (Some(wanted), true) = (commands.pop(), commands.is_empty()) else { return false };
    let Some((program, arguments)) = wanted.split_first() else { return false };
    // A path is another program than the one that the name would find.
    let name = program.rsplit('/').next().unwrap_or_default();
    if name != program && !line.contains(program.as_str()) {
        return false;
    }
    words::any_command(line, &mut |words| {
        words.split_first().is_some_and(|(first, rest)| first == name && rest == arguments)
    })
}

/// What the server is to other processes.
pub struct OwnProcess {
    pid: i32,
    /// Gives it as it is now: who started the server goes away.
    parent: fn() -> i32,
    group: i32,
    session: i32,
    user: u32,
    /// As `pkill` and `killall` take it.
    name: String,
    /// As `pkill -f` takes it.
    line: String,
}

impl OwnProcess {
    /// What stands for a policy where this decides.
    pub const POLICY: &str = "rampart-itself";

    /// This process, as it is now.
    pub fn here() -> Self {
        let pid = nix::unistd::getpid().as_raw();
        let arguments = || std::env::args().collect::<Vec<_>>().join(" ");
        let line = fs::read("/proc/self/cmdline").map_or_else(
            |_| arguments(),
            |line| String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned(),
        );
        let name = fs::read_to_string("/proc/self/comm")
            .map_or_else(|_| "rampart".to_owned(), |name| name.trim_end().to_owned());
        Self {
            pid,
            parent: || getppid().as_raw(),
            group: getpgrp().as_raw(),
            session: getsid(None).map_or(pid, nix::unistd::Pid::as_raw),
            user: geteuid().as_raw(),
            name,
            line,
        }
    }

    /// Whether a command could be one that ends a process.
    pub fn may_be_meant(line: &str) -> bool {
        ["kill", "fuser"].iter().any(|word| line.contains(word))
    }

    /// Why a command is refused, if it would end this process.
    pub fn refuses(&self, line: &str) -> Option<String> {
        if line.contains("rampart") && words::any_command(line, &mut |words| is_for_a_person(words))
        {
            return Some(FOR_A_PERSON.to_owned());
        }
        (Self::may_be_meant(line)
            && words::any_command(line, &mut |words| killers::reaches(self, words)))
        .then(|| {
            format!(
                "This would end the policy server that guards this run (process {}). Name what is \
                 to end more exactly.",
                self.pid
            )
        })
    }

    /// The same of a question that is not read yet.
    pub fn refuses_question(&self, body: &[u8]) -> Option<String> {
        let holds = |word: &[u8]| body.windows(word.len()).any(|window| window == word);
        if !holds(b"kill") && !holds(b"fuser") && !holds(b"rampart") {
            return None;
        }
        Question::read(body).ok().and_then(|question| self.refuses(&question.params.command))
    }

    fn is_user(&self, word: &str) -> bool {
        word.parse() == Ok(self.user)
            || User::from_name(word)
                .is_ok_and(|user| user.is_some_and(|user| user.uid.as_raw() == self.user))
    }
}

#[cfg(test)]
mod tests {
    use super::OwnProcess;

    #[test]
    fn what_changes_what_is_allowed_is_for_a_person() {
        let itself = OwnProcess::here();
        for (line, refused) in [
            ("rampart allow x", true),
            ("cd /tmp && /usr/bin/rampart watch", true),
            ("script -c 'rampart watch' /dev/null", true),
            ("rampart rules remove 1", true),
            ("rampart setup --agent codex --yes", true),
            ("rampart setup --agent=codex --yes", true),
            ("rampart setup --remove", true),
            ("rampart setup", false),
            ("rampart rules", false),
            ("rampart log --denied", false),
            ("echo rampart allow x", false),
        ] {
            assert_eq!(itself.refuses(line).is_some(), refused, "{line}");
        }
    }
}
