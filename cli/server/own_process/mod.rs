//! Refuses commands that would end the server itself or change the policy, whatever the policy
//! says: they would remove the guard from the whole tree, mostly by accident.
//!
//! A program's arguments are known exactly. Of a shell line only plain words are understood, which
//! is enough for the shell's built-in `kill`.

mod files;
mod killers;
mod words;

use std::fs;
use std::path::Path;

use nix::unistd::{User, geteuid, getpgrp, getppid, getsid};

use super::question::Question;

/// The refusal of commands that change what is allowed.
const FOR_A_PERSON: &str = "Only the person who started this agent may change what is allowed. \
    Tell them which command you need, and why.";

/// Whether a command changes what is allowed. The first word is the program's name, without
/// directory.
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

/// Whether `command` is, word for word, one of the commands in `line`, which a shell that was
/// allowed the line starts.
pub fn same_command(line: &str, command: &str) -> bool {
    let mut commands = words::split(command);
    let (Some(wanted), true) = (commands.pop(), commands.is_empty()) else { return false };
    let Some((program, arguments)) = wanted.split_first() else { return false };
    // A path may be another program than the one that PATH finds.
    let name = program.rsplit('/').next().unwrap_or_default();
    if name != program && !line.contains(program.as_str()) {
        return false;
    }
    words::any_command(line, &mut |words| {
        words.split_first().is_some_and(|(first, rest)| first == name && rest == arguments)
    })
}

/// Where a command stands.
struct Place<'l> {
    /// The line that it is part of.
    line: &'l str,
    /// The directory that relative paths are about.
    directory: &'l Path,
}

/// How other processes can find the server.
pub struct OwnProcess {
    pid: i32,
    /// Looked up each time: the process that started the server ends.
    parent: fn() -> i32,
    group: i32,
    session: i32,
    user: u32,
    /// As `pkill` and `killall` match it.
    name: String,
    /// As `pkill -f` matches it.
    line: String,
}

impl OwnProcess {
    /// The policy name in the audit for these refusals.
    pub const POLICY: &str = "rampart-itself";

    /// This process.
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

    /// Whether a command could end a process: a quick test.
    pub fn may_be_meant(line: &str) -> bool {
        ["kill", "fuser", "stop-daemon"].iter().any(|word| line.contains(word))
    }

    /// Why a command that would run in this directory is refused; `None` if it is not.
    pub fn refuses(&self, line: &str, directory: Option<&str>) -> Option<String> {
        if line.contains("rampart") && words::any_command(line, &mut |words| is_for_a_person(words))
        {
            return Some(FOR_A_PERSON.to_owned());
        }
        let place = Place { line, directory: directory.map_or(Path::new("/"), Path::new) };
        (Self::may_be_meant(line)
            && words::any_command(line, &mut |words| killers::reaches(self, words, &place)))
        .then(|| {
            format!(
                "This would end the policy server that guards this run (process {}). Name the \
                 process to end more exactly.",
                self.pid
            )
        })
    }

    /// The same for a question that is not parsed yet.
    pub fn refuses_question(&self, body: &[u8]) -> Option<String> {
        let holds = |word: &[u8]| body.windows(word.len()).any(|window| window == word);
        if !["kill", "fuser", "stop-daemon", "rampart"].iter().any(|word| holds(word.as_bytes())) {
            return None;
        }
        let question = Question::read(body).ok()?;
        let call = question.call();
        self.refuses(call.command, call.cwd)
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
            // Who only looks for processes may find the server.
            ("pgrep .", false),
            ("pgrep . | xargs kill", true),
            ("kill -9 $(pgrep -f .)", true),
            ("kill -9 `pgrep no-such-name`", false),
            ("kill -9 \"$(pgrep -f .)\"", true),
            ("kill -9 \"a `pgrep -f .`\"", true),
            ("kill -9 \"$(pgrep no-such-name)\"", false),
            ("echo '\"$(pgrep -f . | xargs kill)\"'", false),
            ("if true; then kill $(pgrep -f .); fi", true),
            ("for i in 1 2; do command pkill .; done", true),
            ("eval 'pkill .'", true),
            ("trap 'pkill .' EXIT", true),
            ("! time -p pkill .", true),
            ("kill $(fuser /)", true),
            ("fuser /", false),
            ("kill $(lsof -t /)", true),
            ("kill $(lsof -t /proc/self/none)", false),
            ("lsof -t /", false),
        ] {
            assert_eq!(itself.refuses(line, None).is_some(), refused, "{line}");
        }
    }
}
