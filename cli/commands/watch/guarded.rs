//! The guarded processes as a tree.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::audit::mask;
use crate::command_line::command_line;
use crate::commands::status::RunReport;
use crate::processes;
use crate::run::guarded::runs;

/// All runs.
#[derive(Debug, Default)]
pub struct Guarded {
    pub runs: Vec<Tree>,
}

/// A run and its processes.
#[derive(Debug)]
pub struct Tree {
    pub run: RunReport,
    pub processes: Vec<Process>,
}

/// A process.
#[derive(Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    /// How many of its ancestors are in the tree.
    pub depth: usize,
    pub command: String,
}

impl Guarded {
    /// Takes a snapshot. Asks servers for their health, which may take a while.
    pub fn look() -> Self {
        let tree = |run: RunReport| {
            let order = in_order(&run.processes, processes::parent);
            let command = |pid| {
                let words = processes::words(pid).into_iter();
                // On Linux there is a NUL after the last one too.
                let words = words.filter(|word| !word.is_empty()).map(OsString::from_vec);
                mask(&command_line(&words.collect::<Vec<_>>())).into_owned()
            };
            let processes = order.into_iter();
            let processes =
                processes.map(|(pid, depth)| Process { pid, depth, command: command(pid) });
            Tree { processes: processes.collect(), run }
        };
        let runs = runs().into_iter().map(|run| tree(RunReport::of(run)));
        Self { runs: runs.collect() }
    }
}

/// Processes in tree order, each with its depth.
fn in_order(pids: &[i32], parent: impl Fn(i32) -> Option<i32>) -> Vec<(i32, usize)> {
    let all: HashSet<i32> = pids.iter().copied().collect();
    let mut started: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let mut waiting = Vec::new();
    for pid in pids.iter().rev() {
        match parent(*pid).filter(|parent| parent != pid && all.contains(parent)) {
            Some(parent) => started.entry(parent).or_default().push(*pid),
            None => waiting.push((*pid, 0)),
        }
    }
    let mut order = Vec::with_capacity(pids.len());
    while let Some((pid, depth)) = waiting.pop() {
        order.push((pid, depth));
        let children = started.remove(&pid).unwrap_or_default();
        waiting.extend(children.into_iter().map(|child| (child, depth + 1)));
    }
    // IDs reused during the snapshot may form a cycle.
    order.extend(started.into_values().flatten().map(|pid| (pid, 0)));
    order
}

#[cfg(test)]
mod tests {
    use super::in_order;

    #[test]
    fn each_process_stands_behind_its_parent() {
        let parent = |pid| match pid {
            2 | 5 => Some(1),
            3 => Some(2),
            1 => Some(99),
            // A cycle.
            7 => Some(8),
            8 => Some(7),
            _ => None,
        };
        let order = in_order(&[1, 2, 3, 4, 5, 7, 8], parent);
        assert_eq!(order, [(1, 0), (2, 1), (3, 2), (5, 1), (4, 0), (8, 0), (7, 0)]);
        assert!(in_order(&[], parent).is_empty());
    }
}
