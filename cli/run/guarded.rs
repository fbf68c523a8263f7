//! The runs under way, found by the environments of this user's processes.

use std::collections::BTreeMap;
use std::path::Path;

use super::environment::{PRELOAD, URL};
use crate::processes;

/// A run and its live processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub agent: String,
    pub session: String,
    pub mode: String,
    /// The server's URL; empty if there is none.
    pub url: String,
    /// Process IDs, ascending.
    pub processes: Vec<i32>,
}

/// All runs with processes that this user may inspect.
pub fn runs() -> Vec<Run> {
    let mut runs: BTreeMap<[String; 4], Vec<i32>> = BTreeMap::new();
    processes::each_environment(|pid, environment| {
        if let Some(names) = guard(environment.into_iter()) {
            runs.entry(names).or_default().push(pid);
        }
    });
    let run = |([agent, session, mode, url], mut processes): ([String; 4], Vec<i32>)| {
        processes.sort_unstable();
        Run { agent, session, mode, url, processes }
    };
    runs.into_iter().map(run).collect()
}

/// Agent, session, mode and URL from the environment of a process with the library; `None` without
/// it.
fn guard<'e>(environment: impl Iterator<Item = &'e [u8]>) -> Option<[String; 4]> {
    let mut guarded = false;
    let mut names: [String; 4] = Default::default();
    for entry in environment {
        let Some((name, value)) = std::str::from_utf8(entry).ok().and_then(|it| it.split_once('='))
        else {
            continue;
        };
        let index = match name {
            "RAMPART_AGENT" => 0,
            "RAMPART_SESSION" => 1,
            "RAMPART_MODE" => 2,
            URL => 3,
            PRELOAD => {
                guarded = value.split([':', ' ']).any(is_library);
                continue;
            }
            _ => continue,
        };
        value.clone_into(&mut names[index]);
    }
    guarded.then_some(names)
}

fn is_library(path: &str) -> bool {
    let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("librampart.")
}

#[cfg(test)]
mod tests {
    use super::guard;

    #[test]
    fn a_process_is_guarded_if_the_library_is_in_it() {
        let names = |text: &str| guard(text.split('\n').map(str::as_bytes));
        let preload = super::PRELOAD;
        let found = names(&format!(
            "A=1\n{preload}=/a/x.so:/b/librampart.so\nRAMPART_SESSION=s\nRAMPART_AGENT=a\n\
             RAMPART_MODE=enforce\nRAMPART_URL=unix:///x"
        ));
        assert_eq!(found, Some(["a", "s", "enforce", "unix:///x"].map(str::to_owned)));
        assert_eq!(names(&format!("{preload}=/a/other.so\nRAMPART_SESSION=s")), None);
        assert_eq!(names("RAMPART_SESSION=s"), None);
    }
}
