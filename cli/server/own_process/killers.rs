//! Whether `kill`, `pkill`, `killall`, `fuser` and the like would reach this process.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use nix::sys::signal::Signal;
use regex::RegexBuilder;

use super::{OwnProcess, Place, files};

/// The largest compiled pattern, in bytes: a bound on memory.
const LARGEST_PATTERN: usize = 1 << 20;
/// Options of `pkill` (procps and BSD) that take a value.
const PKILL_VALUES: &str = "PgstuUGFOrqdDjMNT";
const PKILL_LONG_VALUES: [&str; 15] = [
    "signal",
    "parent",
    "pgroup",
    "session",
    "terminal",
    "euid",
    "uid",
    "group",
    "pidfile",
    "older",
    "runstates",
    "queue",
    "cgroup",
    "ns",
    "nslist",
];
const KILLALL_VALUES: &str = "sunoyZct";
const KILLALL_LONG_VALUES: [&str; 6] =
    ["signal", "user", "ns", "older-than", "younger-than", "context"];
const FUSER_VALUES: &str = "nN";
/// Options of `lsof` that take a value, mostly joined to the letter.
const LSOF_VALUES: &str = "AcdDgikmpsSTu";
const DAEMON_VALUES: &str = "pxnuscgraNPIkdR";
const DAEMON_LONG_VALUES: [&str; 10] =
    ["pidfile", "exec", "name", "user", "signal", "pid", "ppid", "chuid", "retry", "startas"];

/// Whether a command would send a signal to the server. The first word is the program's name,
/// without directory.
pub fn reaches(itself: &OwnProcess, words: &[String], place: &Place<'_>) -> bool {
    let Some((program, arguments)) = words.split_first() else { return false };
    // What only finds processes is looked at where a shell's own `kill`, which nobody asks about,
    // may get what it finds: `kill $(pgrep x)`.
    let may_be_killed = place.line.contains("kill");
    match program.as_str() {
        "kill" => kill(itself, arguments),
        "pkill" | "pgrep" => {
            pkill(itself, &Options::read(arguments, PKILL_VALUES, &PKILL_LONG_VALUES), place)
        }
        "pidof" => arguments.contains(&itself.name),
        "lsof" => may_be_killed && lsof(itself, &Options::read(arguments, LSOF_VALUES, &[]), place),
        "start-stop-daemon" => {
            let options = Options::read(arguments, DAEMON_VALUES, &DAEMON_LONG_VALUES);
            start_stop_daemon(itself, &options, place)
        }
        "killall" => {
            let options = Options::read(arguments, KILLALL_VALUES, &KILLALL_LONG_VALUES);
            killall(itself, &options, place)
        }
        "skill" => {
            let options = Options::read(arguments, "", &[]);
            let names = |word: &&String| is_number_of(itself, word) || itself.name == **word;
            !options.is_harmless() && options.operands.iter().any(names)
        }
        // Signals all processes outside its own session.
        "killall5" => true,
        "fuser" => {
            fuser(&Options::read(arguments, FUSER_VALUES, &["namespace"]), place, may_be_killed)
        }
        _ => false,
    }
}

/// The options of a command, parsed as by `getopt(3)`.
struct Options<'w> {
    /// Each option's letter or long name, with its value.
    given: Vec<(&'w str, &'w str)>,
    /// `-9`, `-KILL`.
    signal: Option<&'w str>,
    operands: Vec<&'w String>,
}

impl<'w> Options<'w> {
    fn read(arguments: &'w [String], values: &str, long_values: &[&str]) -> Self {
        let mut options = Self { given: Vec::new(), signal: None, operands: Vec::new() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                options.operands.extend(arguments);
                break;
            } else if let Some(long) = argument.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    None if long_values.contains(&long) => {
                        (long, arguments.next().map_or("", String::as_str))
                    }
                    None => (long, ""),
                    Some(both) => both,
                };
                options.given.push((name, value));
            } else if let Some(body) = argument.strip_prefix('-').filter(|body| !body.is_empty()) {
                if is_signal(body) {
                    options.signal = Some(body);
                    continue;
                }
                for (at, letter) in body.char_indices() {
                    let end = at + letter.len_utf8();
                    if values.contains(letter) {
                        let value = &body[end..];
                        let value = if value.is_empty() {
                            arguments.next().map_or("", String::as_str)
                        } else {
                            value
                        };
                        options.given.push((&body[at..end], value));
                        break;
                    }
                    options.given.push((&body[at..end], ""));
                }
            } else {
                options.operands.push(argument);
            }
        }
        options
    }

    fn has(&self, names: &[&str]) -> bool {
        self.given.iter().any(|(name, _)| names.contains(name))
    }

    fn value(&self, names: &[&str]) -> Option<&'w str> {
        self.given.iter().find(|(name, _)| names.contains(name)).map(|(_, value)| *value)
    }

    /// Signal 0 only tests whether a signal could be sent (kill(2)).
    fn is_harmless(&self) -> bool {
        self.signal.or(self.value(&["signal"])) == Some("0")
    }
}

fn is_signal(text: &str) -> bool {
    let name = text.to_ascii_uppercase();
    text.bytes().all(|byte| byte.is_ascii_digit())
        || (text == name && text.len() > 1)
            && (Signal::from_str(&name).is_ok() || Signal::from_str(&format!("SIG{name}")).is_ok())
}

fn is_number_of(itself: &OwnProcess, word: &str) -> bool {
    // util-linux also takes `PID:INODE`.
    let number = word.split(':').next().unwrap_or_default();
    number.parse() == Ok(itself.pid)
}

fn kill(itself: &OwnProcess, arguments: &[String]) -> bool {
    let mut signal = None;
    let mut is_over = false;
    let mut targets = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--" if !is_over => is_over = true,
            "-l" | "-L" | "--list" | "--table" | "-p" | "--pid" if !is_over => return false,
            "-s" | "-n" | "--signal" if !is_over => signal = arguments.next().map(String::as_str),
            "-q" | "--queue" if !is_over => drop(arguments.next()),
            option if !is_over && option.starts_with("--signal=") => {
                signal = option.strip_prefix("--signal=");
            }
            // Only the first one is a signal: `kill -9 -1` signals every process.
            option
                if !is_over
                    && signal.is_none()
                    && targets.is_empty()
                    && option.starts_with('-') =>
            {
                signal = option.strip_prefix('-').or(Some(option));
            }
            target => targets.push(target),
        }
    }
    signal != Some("0")
        && targets.iter().any(|target| match target.strip_prefix('-') {
            Some("1") => true,
            Some(group) => group.parse() == Ok(itself.group),
            None => is_number_of(itself, target) || *target == itself.name,
        })
}

fn pkill(itself: &OwnProcess, options: &Options<'_>, place: &Place<'_>) -> bool {
    let among = |names: &[&str], is_it: &dyn Fn(&str) -> bool| {
        options.value(names).is_none_or(|list| list.split(',').any(|word| is_it(word.trim())))
    };
    let number = |own: i32| move |word: &str| word.parse() == Ok(own);
    let user = |word: &str| itself.is_user(word);
    if options.is_harmless()
        || !among(&["P", "parent"], &number((itself.parent)()))
        || !among(&["g", "pgroup"], &number(itself.group))
        || !among(&["s", "session"], &number(itself.session))
        || !among(&["u", "U", "euid", "uid"], &user)
        // The server has no terminal.
        || !among(&["t", "terminal"], &|word| word.starts_with(['?', '-']))
    {
        return false;
    }
    if let Some(file) = options.value(&["F", "pidfile"]) {
        return is_in_file(itself, &place.path(file));
    }
    let Some(pattern) = options.operands.first() else {
        return options.given.iter().any(|(name, _)| {
            ["P", "g", "s", "u", "U", "t", "G", "parent", "pgroup", "session", "euid", "uid"]
                .contains(name)
        });
    };
    let text = if options.has(&["f", "full"]) { &itself.line } else { &itself.name };
    let exact = options.has(&["x", "exact"]);
    let found = matches(pattern, text, exact, options.has(&["i", "I", "ignore-case"]));
    found != options.has(&["v", "inverse"])
}

/// Whether a file of process IDs names the server.
fn is_in_file(itself: &OwnProcess, file: &Path) -> bool {
    match files::beginning(file) {
        Ok(text) => text.split_whitespace().any(|word| is_number_of(itself, word)),
        // Whoever is to read it could not read these either. What is in a pipe cannot be known.
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied),
    }
}

/// Whether `lsof` lists the server, by one of its selections; `-a` is not looked at.
fn lsof(itself: &OwnProcess, options: &Options<'_>, place: &Place<'_>) -> bool {
    options.given.iter().any(|(name, value)| match *name {
        "i" => {
            let ports = value.rsplit_once(':').map_or("", |(_, ports)| ports);
            ports.split(',').filter_map(|port| port.parse().ok()).any(files::listens_at)
        }
        "c" => itself.name.starts_with(value),
        "u" => value.split(',').any(|user| itself.is_user(user)),
        "p" => value.split(',').any(|number| is_number_of(itself, number)),
        "U" => true,
        _ => false,
    }) || options.operands.iter().any(|operand| files::uses(&place.path(operand), false))
}

/// Whether `start-stop-daemon --stop` would stop the server: all its conditions must hold.
fn start_stop_daemon(itself: &OwnProcess, options: &Options<'_>, place: &Place<'_>) -> bool {
    let mut conditions = options
        .given
        .iter()
        .filter_map(|(name, value)| match *name {
            "p" | "pidfile" => Some(is_in_file(itself, &place.path(value))),
            "x" | "exec" => Some(files::is_program(&place.path(value))),
            "n" | "name" => Some(itself.name == *value),
            "u" | "user" => Some(itself.is_user(value)),
            "pid" => Some(is_number_of(itself, value)),
            "ppid" => Some(value.parse() == Ok((itself.parent)())),
            _ => None,
        })
        .peekable();
    let signal = options.value(&["s", "signal"]);
    let stops = options.has(&["K", "stop"]) && !options.has(&["t", "test"]);
    stops && signal != Some("0") && conditions.peek().is_some() && conditions.all(|holds| holds)
}

fn killall(itself: &OwnProcess, options: &Options<'_>, place: &Place<'_>) -> bool {
    let user = options.value(&["u", "user"]);
    if options.is_harmless()
        || options.value(&["s"]) == Some("0")
        || options.has(&["l", "list"])
        || user.is_some_and(|user| !itself.is_user(user))
    {
        return false;
    }
    if options.operands.is_empty() {
        return user.is_some();
    }
    let ignores_case = options.has(&["I", "ignore-case"]);
    let is_pattern = options.has(&["r", "regexp", "m"]);
    options.operands.iter().any(|name| {
        if is_pattern {
            matches(name, &itself.name, false, ignores_case)
        } else if name.contains('/') {
            files::is_program(&place.path(name))
        } else if ignores_case {
            name.eq_ignore_ascii_case(&itself.name)
        } else {
            **name == itself.name
        }
    })
}

fn fuser(options: &Options<'_>, place: &Place<'_>, may_be_killed: bool) -> bool {
    let kills = options.has(&["k", "K", "kill"]) && !options.is_harmless();
    if !kills && !may_be_killed {
        return false;
    }
    let space = options.value(&["n", "namespace"]);
    let whole = options.has(&["m", "M", "c", "mount", "ismountpoint"]);
    options.operands.iter().any(|operand| {
        let port = match (space, operand.split_once('/')) {
            (Some("tcp" | "udp"), _) => Some(operand.as_str()),
            (_, Some((port, "tcp" | "udp"))) => Some(port),
            _ => None,
        };
        let number = |port: &str| port.split(',').next().and_then(|port| port.parse().ok());
        match port.and_then(number) {
            Some(port) => files::listens_at(port),
            None => files::uses(&place.path(operand), whole),
        }
    })
}

impl Place<'_> {
    /// The path that a word of the command means.
    fn path(&self, word: &str) -> PathBuf {
        self.directory.join(word)
    }
}

/// Whether a pattern matches the text. One that does not compile would match nothing in the real
/// program either.
fn matches(pattern: &str, text: &str, exact: bool, ignores_case: bool) -> bool {
    let pattern = if exact { format!("^(?:{pattern})$") } else { pattern.to_owned() };
    RegexBuilder::new(&pattern)
        .case_insensitive(ignores_case)
        .size_limit(LARGEST_PATTERN)
        .build()
        .is_ok_and(|pattern| pattern.is_match(text))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{OwnProcess, Place, reaches};

    /// Checks that commands would reach a server, or would not.
    fn check(lines: &[&str], expected: bool) {
        let itself = OwnProcess {
            pid: 4711,
            parent: || 1,
            group: 4700,
            session: 4700,
            user: 1001,
            name: "rampart-policy".to_owned(),
            line: "rampart-policy".to_owned(),
        };
        for line in lines {
            let words = line.split_whitespace().map(|word| word.trim_matches('\'').to_owned());
            let place = Place { line, directory: Path::new("/dev") };
            assert_eq!(reaches(&itself, &words.collect::<Vec<_>>(), &place), expected, "{line}");
        }
    }

    #[test]
    fn what_would_end_the_server_is_known_and_nothing_else() {
        let reach = [
            "kill 4711",
            "kill -9 4711",
            "kill -KILL 1 4711",
            "kill -s TERM 4711",
            "kill -n 9 -- 4711",
            "kill --signal=KILL 4711",
            "kill -9 -1",
            "kill -- -1",
            "kill -TERM -4700",
            "kill 4711:12",
            "kill rampart-policy",
            "pkill rampart",
            "pgrep -f ramp",
            "pidof -s rampart-policy",
            "pkill .",
            "pkill -9 -f policy",
            "pkill -fi RAMPART",
            "pkill -x rampart-policy",
            "pkill -f ^rampart",
            "pkill -u 1001",
            "pkill -U 1001,0 ramp",
            "pkill -KILL -s 4700",
            "pkill --parent 1",
            "pkill --inverse node",
            "killall rampart-policy",
            "killall -9 -I Rampart-Policy",
            "killall -r ramp.*",
            "killall -u 1001",
            "killall5 -9",
            "skill -9 4711",
            "fuser -k /",
            "fuser -km /",
            "fuser -k -n file /dev/null",
            "fuser -k null",
            "fuser -k ../dev/null",
        ];
        let leave = [
            "kill 4712",
            "kill -0 4711",
            "kill -s 0 4711",
            "kill -l 4711",
            "kill -4711 12",
            "kill -9 0",
            "kill -1 12",
            "kill -TERM -4701",
            "kill",
            "pgrep node",
            "pidof node",
            "pkill server",
            "pkill -f server",
            "pkill -f 'serve'",
            "pkill -f run",
            "pkill -f node",
            "pkill -f agent",
            "pkill -f python",
            "pkill -f guard",
            "pkill -x rampart",
            "pkill -0 rampart",
            "pkill -u 1002 rampart",
            "pkill -t pts/1 rampart",
            "pkill -P 4000 rampart",
            "pkill -g 0",
            "pkill -F /proc/self/none",
            "pkill",
            "killall rampart",
            "killall node",
            "killall -l",
            "killall -u 1002",
            "fuser -k 3000/tcp",
            "fuser -k -n tcp 3000",
            "fuser -k /proc/self/none",
            "fuser /",
            "fuser -k none/none",
            "echo kill 4711",
        ];
        check(&reach, true);
        check(&leave, false);
    }

    #[test]
    fn what_stops_a_daemon_reaches_the_server_if_all_its_conditions_hold() {
        let reach = [
            "start-stop-daemon --stop --user 1001",
            "start-stop-daemon -K -n rampart-policy --retry 5",
            "start-stop-daemon --stop --pid 4711 --name rampart-policy",
        ];
        let leave = [
            "start-stop-daemon --start --user 1001",
            "start-stop-daemon --stop --test --user 1001",
            "start-stop-daemon --stop --pid 4711 --name other",
            "start-stop-daemon --stop --signal 0 --pid 4711",
            "start-stop-daemon --stop",
        ];
        check(&reach, true);
        check(&leave, false);
    }
}
