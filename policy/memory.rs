//! What a server remembers from call to call: which rules are spent, and how often a rule
//! was met. It outlives the policies, which may be read anew at any time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::rules::{Policy, Rule};
use crate::value::Bounds;

/// How many calls are counted for one rule at most; more count as many.
pub(crate) const MOST_CALLS: u32 = 10_000;
/// For how long a call counts where a rule does not say.
const WINDOW: Duration = Duration::from_secs(3600);

/// What was met before, shared by all that judge.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Met>);

#[derive(Debug, Default)]
struct Met {
    spent: Vec<String>,
    calls: HashMap<String, VecDeque<SystemTime>>,
}

impl Memory {
    /// How many rules are spent.
    #[must_use]
    pub fn count_spent(&self) -> usize {
        self.met().spent.len()
    }

    /// The rules that hold once and are spent, each by a name that is the same as long as
    /// the rule is.
    #[must_use]
    pub fn spent(&self) -> Vec<String> {
        self.met().spent.clone()
    }

    /// Spends rules by their names, as [`spent`](Self::spent) of another memory gave them.
    pub fn also_spent(&self, names: impl IntoIterator<Item = String>) {
        let mut met = self.met();
        for name in names {
            if !met.spent.contains(&name) {
                met.spent.push(name);
            }
        }
    }

    fn met(&self) -> MutexGuard<'_, Met> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_spent(&self, policy: &Policy, rule: &Rule) -> bool {
        let name = name(policy, rule);
        self.met().spent.contains(&name)
    }

    pub(crate) fn spend(&self, policy: &Policy, rule: &Rule) {
        self.also_spent([name(policy, rule)]);
    }

    /// Counts a call for the rule of this `number`.
    pub(crate) fn count(&self, policy: &str, number: usize, bounds: Bounds, now: SystemTime) {
        let window = bounds.window.map_or(WINDOW, Duration::from_secs);
        let mut met = self.met();
        let calls = met.calls.entry(place(policy, number)).or_default();
        calls.push_back(now);
        let is_old = |call: &SystemTime| now.duration_since(*call).is_ok_and(|age| age >= window);
        while calls.front().is_some_and(is_old) || calls.len() > MOST_CALLS as usize {
            calls.pop_front();
        }
    }

    /// Whether the calls of late that were counted for the rule are within its bounds.
    pub(crate) fn is_counted(&self, policy: &str, number: usize, bounds: Bounds) -> bool {
        let counted = self.met().calls.get(&place(policy, number)).map_or(0, VecDeque::len);
        bounds.hold(counted as u64)
    }
}

/// Where a rule stands.
fn place(policy: &str, number: usize) -> String {
    format!("{policy}/{number}")
}

/// The name of a rule: where it stands, what it says and when it was written, so that the
/// same rule written anew is another, and one that only moves is the same.
fn name(policy: &Policy, rule: &Rule) -> String {
    let conditions = rule.when.written.iter();
    let conditions: Vec<String> =
        conditions.map(|(key, pattern)| format!("{key}={pattern}")).collect();
    let added = rule.added.as_deref().unwrap_or_default();
    let (file, policy) = (&policy.file, &policy.name);
    format!("{file}/{policy}/{:?}/{}/{added}", rule.action, conditions.join(","))
}
