//! What a script has set at the point that was read up to: variables, functions, aliases.
//! What a subshell sets is undone behind it, at the cost of what it has set.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use brush_parser::ast::FunctionDefinition;

/// A map that is empty for most lines, and costs nothing to make and to end then.
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "a null pointer is less to make and to end")]
pub(crate) struct Rare<K, V>(Option<Box<BTreeMap<K, V>>>);

impl<K, V> Default for Rare<K, V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: 'static, V: 'static> Deref for Rare<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &BTreeMap<K, V> {
        self.0.as_deref().unwrap_or(const { &BTreeMap::new() })
    }
}

impl<K: Ord, V> Rare<K, V> {
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.get_or_insert_default().insert(key, value)
    }

    pub(crate) fn remove_entry<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        self.0.as_mut()?.remove_entry(key)
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Rare<K, V> {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(all: T) -> Self {
        Self(Some(Box::new(all.into_iter().collect())))
    }
}

/// A map whose changes can be undone.
#[derive(Debug)]
pub(crate) struct Undoable<K, V> {
    map: Rare<K, V>,
    /// What was there before each change since the first [`mark`](Self::mark).
    before: Vec<(K, Option<V>)>,
    marks: usize,
}

impl<K, V> Default for Undoable<K, V> {
    fn default() -> Self {
        Self { map: Rare::default(), before: Vec::new(), marks: 0 }
    }
}

impl<K: Ord + Clone + 'static, V: 'static> Undoable<K, V> {
    pub(crate) fn map(&self) -> &BTreeMap<K, V> {
        &self.map
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        let old = self.map.insert(key.clone(), value);
        if self.marks > 0 {
            self.before.push((key, old));
        }
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some((key, old)) = self.map.remove_entry(key)
            && self.marks > 0
        {
            self.before.push((key, Some(old)));
        }
    }

    /// All that there is, which is there no longer.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (K, V)> + use<K, V> {
        self.before.clear();
        std::mem::take(&mut self.map).0.into_iter().flat_map(|map| *map)
    }

    fn mark(&mut self) -> usize {
        self.marks += 1;
        self.before.len()
    }

    fn undo(&mut self, mark: usize) {
        self.marks -= 1;
        while self.before.len() > mark {
            match self.before.pop() {
                Some((key, Some(value))) => drop(self.map.insert(key, value)),
                Some((key, None)) => drop(self.map.remove(&key)),
                None => return,
            }
        }
    }
}

/// Variables, by name.
#[derive(Debug, Default)]
pub(crate) struct Variables(Undoable<String, Option<Vec<String>>>);

impl Variables {
    /// The words that a variable stands for, where that is known.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<String>> {
        match self.0.map.get(name) {
            Some(value) => value.clone(),
            // Set before a script begins.
            None => matches!(name, "SHELL" | "BASH").then(|| vec!["sh".to_string()]),
        }
    }

    /// Sets a variable; `None` where its value is not known any more.
    pub(crate) fn set(&mut self, name: &str, value: Option<Vec<String>>) {
        self.0.insert(name.to_string(), value);
    }
}

/// All that a script sets.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) variables: Variables,
    pub(crate) functions: Undoable<String, Rc<FunctionDefinition>>,
    pub(crate) aliases: Undoable<String, String>,
}

impl Scope {
    /// Whether there are no functions and no aliases.
    pub(crate) fn defines_nothing(&self) -> bool {
        self.functions.map.is_empty() && self.aliases.map.is_empty()
    }

    /// A point to come back to.
    pub(crate) fn mark(&mut self) -> [usize; 3] {
        [self.variables.0.mark(), self.functions.mark(), self.aliases.mark()]
    }

    /// Undoes what was set since the last mark that was not yet come back to.
    pub(crate) fn undo(&mut self, [variables, functions, aliases]: [usize; 3]) {
        self.variables.0.undo(variables);
        self.functions.undo(functions);
        self.aliases.undo(aliases);
    }
}

/// What a script or a function is called by and with.
#[derive(Debug)]
pub(crate) struct Arguments {
    name: String,
    given: Vec<String>,
    /// Whether nothing is left out: `f "$@"` gives more than is known.
    complete: bool,
}

/// So many arguments have a name of one digit, and are empty where they are not given.
const NAMED: usize = 9;

impl Arguments {
    pub(crate) fn new(name: &str, given: &[&str]) -> Self {
        let unknown = given.iter().position(|word| word.contains(['$', '`', '*']));
        let known = unknown.map_or(given.len(), |at| at + 1);
        Self {
            name: name.to_string(),
            given: given[..known].iter().map(|word| (*word).to_string()).collect(),
            complete: unknown.is_none(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.given.clone()
    }

    /// The value of `$NAME`, where that is one of these and known.
    pub(crate) fn value(&self, name: &str) -> Option<Vec<String>> {
        if name == "@" {
            return Some(self.all());
        }
        match name.parse::<usize>().ok()? {
            0 => Some(vec![self.name.clone()]),
            number => match self.given.get(number - 1) {
                Some(value) => Some(vec![value.clone()]),
                None => (self.complete && number <= NAMED).then(|| vec![String::new()]),
            },
        }
    }
}
