//! The programs that run what they are given, and how to find it in their arguments.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::line::is_assignment;
use crate::spelling::{base_name, is_option};

/// What a wrapper runs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inner<'a> {
    /// A program with its arguments.
    Words(Vec<&'a str>),
    /// A shell script, and the arguments that it is given, `$0` first.
    Script(String, Vec<&'a str>),
    /// The shell script on its standard input.
    Input,
}

/// How a wrapper's own arguments end where the command begins.
struct Wrapper {
    names: &'static [&'static str],
    /// Letters that take a value, attached or as the next word.
    values: &'static str,
    /// Long options that take a value as the next word.
    long_values: &'static [&'static str],
    /// Operands of its own before the command.
    operands: usize,
    /// Whether `NAME=value` may stand before the command.
    assignments: bool,
    /// Whether the words are joined and run by a shell.
    joined: bool,
    /// Letters and long options whose value is a shell script.
    script: &'static [&'static str],
    /// Options that ask about a command instead of running it.
    only_asks: &'static [&'static str],
}

const PLAIN: Wrapper = Wrapper {
    names: &[],
    values: "",
    long_values: &[],
    operands: 0,
    assignments: false,
    joined: false,
    script: &[],
    only_asks: &[],
};

const WRAPPERS: &[Wrapper] = &[
    Wrapper {
        names: &[
            "nohup",
            "builtin",
            "setsid",
            "fakeroot",
            "dumb-init",
            "tini",
            "catchsegv",
            "unbuffer",
            "rlwrap",
            "caffeinate",
            "proxychains",
            "proxychains4",
            "torsocks",
            "eatmydata",
            "chronic",
            "noglob",
            "nocorrect",
            "dbus-run-session",
            "setarch",
            "linux64",
            "linux32",
            "busybox",
            "toybox",
        ],
        values: "gsf",
        ..PLAIN
    },
    Wrapper { names: &["command"], only_asks: &["-v", "-V"], ..PLAIN },
    Wrapper { names: &["exec"], values: "a", ..PLAIN },
    Wrapper {
        names: &["sudo", "sudoedit"],
        values: "ugpCchrRtTUD",
        long_values: &[
            "user",
            "group",
            "prompt",
            "close-from",
            "chdir",
            "host",
            "role",
            "type",
            "chroot",
            "other-user",
            "command-timeout",
        ],
        assignments: true,
        ..PLAIN
    },
    Wrapper { names: &["doas"], values: "uCa", assignments: true, ..PLAIN },
    Wrapper {
        names: &["env"],
        values: "uCaP",
        long_values: &["unset", "chdir", "argv0"],
        assignments: true,
        script: &["S", "split-string"],
        ..PLAIN
    },
    Wrapper { names: &["nice"], values: "n", long_values: &["adjustment"], ..PLAIN },
    Wrapper {
        names: &["ionice"],
        values: "cnpPu",
        long_values: &["class", "classdata", "pid", "pgid", "uid"],
        ..PLAIN
    },
    Wrapper { names: &["chrt"], values: "pTPD", operands: 1, ..PLAIN },
    Wrapper { names: &["taskset"], operands: 1, ..PLAIN },
    Wrapper {
        names: &["timeout", "gtimeout"],
        values: "sk",
        long_values: &["signal", "kill-after"],
        operands: 1,
        ..PLAIN
    },
    Wrapper {
        names: &["stdbuf"],
        values: "ioe",
        long_values: &["input", "output", "error"],
        ..PLAIN
    },
    Wrapper {
        names: &["time", "gtime"],
        values: "fo",
        long_values: &["format", "output"],
        ..PLAIN
    },
    Wrapper { names: &["chroot"], operands: 1, ..PLAIN },
    Wrapper {
        names: &["unshare", "nsenter"],
        values: "SGRwtlC",
        long_values: &[
            "setuid",
            "setgid",
            "root",
            "wd",
            "target",
            "map-user",
            "map-group",
            "propagation",
        ],
        ..PLAIN
    },
    Wrapper {
        names: &["strace", "ltrace", "perf", "valgrind"],
        values: "eoOpPsuabIESnlx",
        long_values: &["output", "trace", "attach", "user", "string-limit"],
        ..PLAIN
    },
    Wrapper {
        names: &["watch"],
        values: "nq",
        long_values: &["interval", "equexit"],
        joined: true,
        ..PLAIN
    },
    Wrapper {
        names: &["xargs", "gxargs"],
        values: "InLPsdEaJRS",
        long_values: &[
            "replace",
            "max-args",
            "max-lines",
            "max-procs",
            "max-chars",
            "delimiter",
            "arg-file",
        ],
        ..PLAIN
    },
    Wrapper {
        names: &["parallel"],
        values: "jSNnLaICd",
        long_values: &[
            "jobs", "sshlogin", "arg-file", "colsep", "delay", "joblog", "results", "timeout",
        ],
        joined: true,
        ..PLAIN
    },
    Wrapper {
        names: &["su", "runuser"],
        values: "guGsTw",
        long_values: &["group", "user", "supp-group", "shell", "whitelist-environment"],
        script: &["c", "command", "session-command"],
        ..PLAIN
    },
    Wrapper {
        names: &["script"],
        values: "EIBOTmo",
        long_values: &["echo", "log-in", "log-out", "log-io", "log-timing"],
        script: &["c", "command"],
        operands: usize::MAX,
        ..PLAIN
    },
    Wrapper { names: &["flock"], values: "wE", script: &["c", "command"], operands: 1, ..PLAIN },
    Wrapper {
        names: &["gosu", "su-exec", "setuidgid", "chpst"],
        values: "u",
        operands: 1,
        ..PLAIN
    },
    Wrapper {
        names: &["systemd-run"],
        values: "MHpuE",
        long_values: &["unit", "property", "setenv", "uid", "gid", "slice", "working-directory"],
        ..PLAIN
    },
    Wrapper { names: &["setpriv", "prlimit", "numactl", "capsh", "firejail"], ..PLAIN },
    Wrapper {
        names: &["ld-linux.so", "ld-musl.so"],
        long_values: &[
            "library-path",
            "preload",
            "audit",
            "argv0",
            "inhibit-rpath",
            "glibc-hwcaps-prepend",
        ],
        only_asks: &["--verify", "--list", "--help", "--version"],
        ..PLAIN
    },
];

static BY_NAME: LazyLock<HashMap<&str, &Wrapper>> = LazyLock::new(|| {
    let named = |wrapper: &'static Wrapper| wrapper.names.iter().map(move |name| (*name, wrapper));
    WRAPPERS.iter().flat_map(named).collect()
});

const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "ash", "zsh", "ksh", "ksh93", "mksh", "pdksh", "yash", "rbash", "posh",
    "fish",
];

/// Whether `name`, a last path component, is a shell.
fn is_shell(name: &str) -> bool {
    SHELLS.contains(&name)
}

/// What the command `words` runs, apart from itself.
pub(crate) fn unwrap<'a>(words: &[&'a str]) -> Vec<Inner<'a>> {
    let Some((program, arguments)) = words.split_first() else {
        return Vec::new();
    };
    let name = base_name(program);
    if is_shell(name) {
        return shell(arguments).into_iter().collect();
    }
    match name {
        "eval" => {
            let words = if arguments.first() == Some(&"--") { &arguments[1..] } else { arguments };
            return vec![Inner::Script(words.join(" "), Vec::new())];
        }
        "trap" => {
            let script = arguments.iter().find(|word| !is_option(word));
            return script
                .map(|text| Inner::Script((*text).to_string(), Vec::new()))
                .into_iter()
                .collect();
        }
        "find" | "gfind" => return find(arguments),
        "fd" | "fdfind" => return after_any(arguments, &["-x", "-X", "--exec", "--exec-batch"]),
        "gdb" => return after_any(arguments, &["--args"]),
        _ => {}
    }
    let loader = name.starts_with("ld-linux") || name.starts_with("ld-musl") || name == "ld.so";
    let name = if loader { "ld-linux.so" } else { name };
    match BY_NAME.get(name) {
        Some(wrapper) => wrapper.inner(arguments).into_iter().collect(),
        None => Vec::new(),
    }
}

impl Wrapper {
    fn inner<'a>(&self, arguments: &[&'a str]) -> Option<Inner<'a>> {
        let mut operands = self.operands;
        let mut at = 0;
        while let Some(&word) = arguments.get(at) {
            at += 1;
            if self.only_asks.contains(&word) {
                return None;
            }
            if word == "--" {
                break;
            }
            if is_option(word) {
                let (value, script) = self.value(word, arguments.get(at).copied());
                if script {
                    return Some(self.script(value?, &arguments[at..]));
                }
                // A value that is a word of its own is that of the next place.
                at += usize::from(value.is_some_and(|value| {
                    arguments.get(at).is_some_and(|next| std::ptr::eq(value, *next))
                }));
                continue;
            }
            if self.assignments && is_assignment(word) {
                continue;
            }
            at -= 1;
            break;
        }
        while operands > 0 {
            let word = arguments.get(at)?;
            at += 1;
            if let (value, true) = self.value(word, arguments.get(at).copied()) {
                return Some(self.script(value?, &[]));
            }
            operands -= 1;
        }
        let rest = arguments.get(at..).filter(|rest| !rest.is_empty())?;
        // `flock FILE -c …`, `runuser USER -c …`.
        if !self.assignments
            && let Some(flag) = rest.iter().position(|word| self.value(word, None).1)
        {
            let (value, _) = self.value(rest[flag], rest.get(flag + 1).copied());
            return Some(self.script(value?, &[]));
        }
        if self.joined {
            return Some(Inner::Script(rest.join(" "), Vec::new()));
        }
        Some(Inner::Words(rest.to_vec()))
    }

    /// The value of the option `word`, and whether it is a script.
    fn value<'a>(&self, word: &'a str, next: Option<&'a str>) -> (Option<&'a str>, bool) {
        if let Some(long) = word.strip_prefix("--") {
            let (name, attached) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let script = self.script.contains(&name);
            let takes = script || self.long_values.contains(&name);
            return (if takes { attached.or(next) } else { None }, script);
        }
        if !word.starts_with('-') {
            return (None, false);
        }
        for (at, letter) in word.char_indices().skip(1) {
            let script = self.script.iter().any(|name| name.chars().eq([letter]));
            if script || self.values.contains(letter) {
                let attached = &word[at + letter.len_utf8()..];
                return (if attached.is_empty() { next } else { Some(attached) }, script);
            }
        }
        (None, false)
    }

    /// `env -S` takes words and lets more follow; the others take a script.
    fn script<'a>(&self, script: &str, rest: &[&'a str]) -> Inner<'a> {
        if !self.assignments {
            return Inner::Script(script.to_string(), Vec::new());
        }
        let rest = rest.iter().skip_while(|word| **word == script).copied();
        let line: Vec<&str> = std::iter::once(script).chain(rest).collect();
        let line = line.join(" ");
        Inner::Script(format!("env {line}"), Vec::new())
    }
}

/// What a shell with these arguments runs, where that can be seen.
fn shell<'a>(arguments: &[&'a str]) -> Option<Inner<'a>> {
    let mut script = false;
    let mut at = 0;
    while let Some(&word) = arguments.get(at) {
        let long = word.starts_with("--") && word.len() > 2;
        if word == "-" || word == "--" {
            at += 1;
            break;
        }
        let flag = is_option(word) || (word.len() > 1 && word.starts_with('+'));
        if !flag {
            break;
        }
        at += 1;
        if matches!(word, "--rcfile" | "--init-file") {
            at += 1;
        }
        if long {
            script |= matches!(word, "--command");
            continue;
        }
        script |= word.starts_with('-') && word.contains('c');
        at += usize::from(word.contains(['o', 'O']));
    }
    let rest = arguments.get(at..).unwrap_or_default();
    match rest.split_first() {
        Some((text, arguments)) if script => {
            Some(Inner::Script((*text).to_string(), arguments.to_vec()))
        }
        // `/dev/stdin` is a script file by name only.
        Some((file, _)) if *file != "/dev/stdin" && !arguments.contains(&"-s") => None,
        _ => Some(Inner::Input),
    }
}

/// What `find` runs, with its starting points for `{}`.
fn find<'a>(arguments: &[&'a str]) -> Vec<Inner<'a>> {
    let paths: Vec<&str> = arguments
        .iter()
        .copied()
        .take_while(|word| !is_option(word) && *word != "(" && *word != "!")
        .collect();
    let mut commands = Vec::new();
    let mut rest = arguments;
    while let Some(at) =
        rest.iter().position(|word| matches!(*word, "-exec" | "-execdir" | "-ok" | "-okdir"))
    {
        rest = &rest[at + 1..];
        let end = rest.iter().position(|word| matches!(*word, ";" | "+")).unwrap_or(rest.len());
        let words = rest[..end].iter().copied();
        let words = words.flat_map(|word| {
            if word == "{}" && !paths.is_empty() { paths.clone() } else { vec![word] }
        });
        commands.push(Inner::Words(words.collect()));
        rest = &rest[end..];
    }
    commands
}

/// What stands behind the first of `flags`.
fn after_any<'a>(arguments: &[&'a str], flags: &[&str]) -> Vec<Inner<'a>> {
    let at = arguments.iter().position(|word| flags.contains(word));
    at.map(|at| Inner::Words(arguments[at + 1..].to_vec())).into_iter().collect()
}
