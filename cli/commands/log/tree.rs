//! The records of each session as a tree of processes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{told, verdict, who};
use crate::audit::Event;
use crate::terminal::{Screen, cut, harmless};

/// The deepest indentation.
const DEEPEST: usize = 24;

/// All sessions, one after another.
pub fn text(events: &[Event], screen: Screen) -> String {
    let mut sessions: BTreeMap<(&str, &str), Vec<&Event>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.is_decision()) {
        sessions.entry((&event.agent, &event.session)).or_default().push(event);
    }
    let mut sessions: Vec<_> = sessions.into_values().collect();
    sessions.sort_by(|one, other| one[0].timestamp.cmp(&other[0].timestamp));
    let mut text = String::new();
    for events in sessions {
        let refused = events.iter().filter(|event| event.is_refusal()).count();
        let head = format!("{}: {} asked, {refused} denied", who(events[0]), events.len());
        text.push_str(&head);
        text.push('\n');
        Session::new(&events).write(screen, &mut text);
    }
    text
}

/// The processes of a session.
struct Session<'e> {
    asked: HashMap<i32, Vec<&'e Event>>,
    started: HashMap<i32, Vec<i32>>,
    roots: Vec<i32>,
    unknown: Vec<&'e Event>,
}

impl<'e> Session<'e> {
    fn new(events: &[&'e Event]) -> Self {
        let mut session = Self {
            asked: HashMap::new(),
            started: HashMap::new(),
            roots: Vec::new(),
            unknown: Vec::new(),
        };
        let mut order = Vec::new();
        for event in events {
            match event.number("pid") {
                Some(pid) => {
                    let of_process = session.asked.entry(pid).or_default();
                    if of_process.is_empty() {
                        order.push(pid);
                    }
                    of_process.push(event);
                }
                None => session.unknown.push(event),
            }
        }
        for pid in order {
            let parent = session.asked[&pid].iter().find_map(|event| event.number("parent"));
            match parent.filter(|parent| *parent != pid && session.asked.contains_key(parent)) {
                Some(parent) => session.started.entry(parent).or_default().push(pid),
                None => session.roots.push(pid),
            }
        }
        session
    }

    fn write(&self, screen: Screen, out: &mut String) {
        let mut seen = HashSet::new();
        let mut waiting: Vec<(i32, usize)> =
            self.roots.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((pid, depth)) = waiting.pop() {
            // Reused process IDs may form a cycle.
            if !seen.insert(pid) {
                continue;
            }
            for event in &self.asked[&pid] {
                row(event, &pid.to_string(), depth, screen, out);
            }
            let started = self.started.get(&pid).into_iter().flatten();
            waiting.extend(started.rev().map(|child| (*child, depth + 1)));
        }
        for (pid, events) in self.asked.iter().filter(|(pid, _)| !seen.contains(pid)) {
            for event in events {
                row(event, &pid.to_string(), 0, screen, out);
            }
        }
        for event in &self.unknown {
            row(event, "?", 0, screen, out);
        }
    }
}

fn row(event: &Event, pid: &str, depth: usize, screen: Screen, out: &mut String) {
    let indent = "  ".repeat(depth.min(DEEPEST));
    let why = match (&*event.decision.action, event.decision.matched_policies.first()) {
        ("deny" | "ask", Some(policy)) => format!("  [{}]", harmless(policy)),
        _ => String::new(),
    };
    let line = format!("{pid:>7}  {indent}{}{why}", told(event));
    let line =
        screen.width.map_or_else(|| line.clone(), |width| cut(&line, width.saturating_sub(8)));
    out.push_str(&screen.paint_cell(&verdict(event)));
    out.push_str("  ");
    out.push_str(&line);
    out.push('\n');
}
