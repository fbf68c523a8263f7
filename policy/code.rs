//! What a short program in another language does, as far as its quoted texts say: `python3 -c
//! "shutil.rmtree('/etc')"`. It is not understood, only looked through.

use crate::programs::Verb;

/// What stands for a home in one language or another.
#[rustfmt::skip]
const HOMES: &[&str] = &[
    "require('os').homedir()", "require(\"os\").homedir()", "os.homedir()", "process.env.HOME",
    "os.environ['HOME']", "os.environ[\"HOME\"]", "Path.home()", "Dir.home", "ENV['HOME']",
    "ENV[\"HOME\"]", "$ENV{HOME}", "getenv('HOME')", "getenv(\"HOME\")",
];
/// What gives all variables of the environment.
const VARIABLES: &[&str] = &[
    "os.environ)",
    "process.env)",
    "stringify(process.env",
    "%ENV",
    "ENV.to_h",
    "dict(os.environ",
];
#[rustfmt::skip]
const DELETES: &[&str] = &[
    "rmtree", "unlink", "os.remove", "removedirs", "rm_rf", "rm_r", "rmSync", "rmdir", "removeSync",
    "Deno.remove", "fs.rm(", "File.delete", "os.rename", "shutil.move", "renameSync", "RemoveAll",
];
#[rustfmt::skip]
const WRITES: &[&str] = &[
    "'w'", "\"w\"", "'a'", "\"a\"", "'wb'", "write_text", "writeFile", "file_put_contents", "chmod",
    "chown", "copyfile", "shutil.copy",
];
#[rustfmt::skip]
const SENDS: &[&str] = &[
    "requests.p", "urlopen", "create_connection", "socket.", "fetch(", "https.", "http.", "HTTP",
    "fsockopen", "axios",
];
#[rustfmt::skip]
const RUNS: &[&str] = &[
    "system", "exec", "spawn", "popen", "subprocess", "shell", "`", "check_output", "check_call",
    "Open3",
];
const EVALUATES: &[&str] = &["eval", "exec(", "system(", "compile("];
const SHELLS: &[&str] = &["pty.spawn", "dup2", "sh <&", "sh -i", "/bin/sh", "/bin/bash"];

/// What was found in a program.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) deeds: Vec<(Verb, String)>,
    /// Shell scripts that it may run.
    pub(crate) scripts: Vec<String>,
    /// Where it may get code from that it runs.
    pub(crate) run: Vec<String>,
}

/// Whether the word behind `-c` or in place of a file is a program itself.
pub(crate) fn is_code(word: &str) -> bool {
    word.contains(['(', ';', '"', '\'', '`', '\n', ' '])
}

/// Looks through a program.
pub(crate) fn look_through(code: &str) -> Found {
    let has = |words: &[&str]| words.iter().any(|word| code.contains(word));
    let mut text = code.to_string();
    for home in HOMES {
        text = text.replace(home, "'~'");
    }
    let mut groups = literals(&text);
    // A home within a text, as in "$ENV{HOME}/*".
    for literal in groups.iter_mut().flatten().filter(|literal| literal.starts_with("'~'")) {
        *literal = literal.replace("'~'", "~");
    }
    let mut paths = Vec::new();
    let mut urls = Vec::new();
    let mut before = "";
    for literal in groups.iter().flatten().map(String::as_str) {
        if literal.contains("://") {
            urls.push(literal.to_string());
        } else if before == "~" && !literal.is_empty() && !literal.contains(' ') {
            paths.push(format!("~/{}", literal.trim_start_matches('/')));
        } else if is_path(literal) {
            paths.push(literal.to_string());
        }
        before = literal;
    }
    let mut found = Found::default();
    let (deletes, writes, sends) = (has(DELETES), has(WRITES), has(SENDS));
    if sends && has(VARIABLES) {
        found.deeds.push((Verb::Send, "env:".to_string()));
    }
    for path in paths {
        let mut deed = |verb| found.deeds.push((verb, path.clone()));
        if deletes {
            deed(Verb::Delete);
        } else if writes {
            deed(Verb::Write);
        } else {
            deed(Verb::Read);
        }
        if sends {
            deed(Verb::Send);
        }
    }
    if has(RUNS) {
        for group in groups {
            if group.len() > 1 {
                found.scripts.push(group.join(" "));
            }
            found.scripts.extend(group);
        }
    }
    if has(EVALUATES) && !urls.is_empty() {
        found.run.append(&mut urls);
    }
    if has(SHELLS)
        && has(&["connect(", "create_connection", "fsockopen", "TCPSocket", "net.Socket"])
    {
        found.run.push("tcp://".to_string());
    }
    found
}

fn is_path(literal: &str) -> bool {
    literal.starts_with(['/', '~', '.'])
        && !literal.contains([' ', '\n', '(', ','])
        && literal.len() < 4096
        && literal != "."
}

/// The quoted texts in a program; those with nothing but commas between them together.
fn literals(code: &str) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = Vec::new();
    let mut chars = code.chars();
    let mut between = String::new();
    while let Some(c) = chars.next() {
        if !matches!(c, '\'' | '"' | '`') {
            between.push(c);
            continue;
        }
        let mut literal = String::new();
        while let Some(next) = chars.next() {
            match next {
                '\\' => literal.extend(chars.next()),
                _ if next == c => break,
                _ => literal.push(next),
            }
        }
        let joins = between.chars().all(|c| matches!(c, ',' | '[') || c.is_whitespace())
            && !between.is_empty();
        match groups.last_mut().filter(|_| joins) {
            Some(group) => group.push(literal),
            None => groups.push(vec![literal]),
        }
        between.clear();
    }
    groups
}

/// The texts that a program of awk hands to a shell: `system("…")`, `print | "…"`, `"…" | getline`.
pub(crate) fn handed_to_a_shell(code: &str) -> Vec<String> {
    let mut handed = Vec::new();
    let mut rest = code;
    while let Some((outside, behind)) = rest.split_once('"') {
        let mut escaped = false;
        let end = behind.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let Some(end) = end else { break };
        let (text, after) = (&behind[..end], &behind[end + 1..]);
        let before = outside.trim_end();
        let is_fed = after.trim_start().strip_prefix('|');
        if before.ends_with("system(")
            || before.ends_with('|') && !before.ends_with("||")
            || is_fed.is_some_and(|behind| behind.trim_start().starts_with("getline"))
        {
            handed.push(text.replace("\\\"", "\""));
        }
        rest = after;
    }
    handed
}
