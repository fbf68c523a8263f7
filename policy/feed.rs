//! What a command is given to read, as far as the line says: its text, and where it came from.
//!
//! A pipeline hands on what it was given and adds to it, stage by stage, so that what was there
//! before is shared and never copied: a line of any make costs what it is long.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What a command reads or writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Feed {
    text: Option<Rc<String>>,
    sources: Option<Rc<Sources>>,
}

/// Where something came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// From elsewhere, by its URL.
    Url(String),
    /// From a file, or `env:`, the environment.
    File(String),
}

impl Source {
    fn is_url(&self) -> bool {
        matches!(self, Self::Url(_))
    }
}

/// Sources of its own, and those of two others.
#[derive(Debug)]
struct Sources {
    own: Vec<Source>,
    of: Vec<Rc<Sources>>,
    any_url: bool,
    any_file: bool,
}

impl Sources {
    fn new(own: Vec<Source>, of: Vec<Rc<Self>>) -> Self {
        let any_url = own.iter().any(Source::is_url) || of.iter().any(|of| of.any_url);
        let any_file = !own.iter().all(Source::is_url) || of.iter().any(|of| of.any_file);
        Self { own, of, any_url, any_file }
    }

    fn holds(&self, urls: bool) -> bool {
        if urls { self.any_url } else { self.any_file }
    }

    /// Those of both.
    fn of_both(first: Rc<Self>, second: Rc<Self>) -> Rc<Self> {
        let flat = first.of.is_empty() && second.of.is_empty();
        if !flat || first.own.len() + second.own.len() > FEW {
            return Rc::new(Self::new(Vec::new(), vec![first, second]));
        }
        // A pipeline often names the same few again and again.
        let mut own = first.own.clone();
        for source in &second.own {
            if !own.contains(source) {
                own.push(source.clone());
            }
        }
        if own.len() == first.own.len() { first } else { Rc::new(Self::new(own, Vec::new())) }
    }
}

/// How many sources are put together in one list.
const FEW: usize = 16;

impl Drop for Sources {
    fn drop(&mut self) {
        // They hang on one another as long as the pipeline is: without recursion.
        let mut waiting = std::mem::take(&mut self.of);
        while let Some(sources) = waiting.pop() {
            if let Some(mut sources) = Rc::into_inner(sources) {
                waiting.append(&mut sources.of);
            }
        }
    }
}

impl Feed {
    pub(crate) fn of_text(text: String) -> Self {
        Self { text: Some(Rc::new(text)), sources: None }
    }

    pub(crate) fn of_sources(own: Vec<Source>) -> Self {
        let any = !own.is_empty();
        Self { text: None, sources: any.then(|| Rc::new(Sources::new(own, Vec::new()))) }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_ref().map(|text| text.as_str())
    }

    /// The same without the text.
    pub(crate) fn untold(&self) -> Self {
        Self { text: None, sources: self.sources.clone() }
    }

    /// The same of what has other files than are here; what came from elsewhere did so there, too.
    pub(crate) fn without_files(self) -> Self {
        if self.is_foreign() { self } else { Self { sources: None, ..self } }
    }

    /// The same with another text, if with any.
    pub(crate) fn told(self, text: impl Into<Option<String>>) -> Self {
        Self { text: text.into().map(Rc::new), ..self }
    }

    /// Whether nothing is known of it.
    pub(crate) fn is_nothing(&self) -> bool {
        self.text.is_none() && self.sources.is_none()
    }

    /// Whether any of it came from elsewhere.
    pub(crate) fn is_foreign(&self) -> bool {
        self.sources.as_ref().is_some_and(|sources| sources.any_url)
    }

    /// The URLs, or the files, that it came from, each once; those not that are `known`, which
    /// they are behind that. More than `most` are not looked at; it gives how many were.
    pub(crate) fn sources(
        &self,
        urls: bool,
        known: &mut Known,
        most: usize,
    ) -> (Vec<String>, usize) {
        let mut waiting: Vec<&Rc<Sources>> = self.sources.iter().collect();
        let mut names = BTreeSet::new();
        let mut found = Vec::new();
        let mut looked = 0;
        while let Some(sources) = waiting.pop().filter(|_| looked <= most) {
            if !sources.holds(urls) || !known.insert(sources) {
                continue;
            }
            looked += sources.own.len() + 1;
            waiting.extend(sources.of.iter().rev());
            let of_kind = sources.own.iter().filter(|source| source.is_url() == urls);
            found.extend(of_kind.filter(|source| names.insert(*source)));
        }
        let names = found.into_iter().map(|(Source::Url(name) | Source::File(name))| name.clone());
        (names.collect(), looked)
    }

    /// Whether its sources are more than a short list.
    pub(crate) fn has_many(&self) -> bool {
        self.sources.as_ref().is_some_and(|sources| !sources.of.is_empty())
    }

    /// Whether any of it came from a file.
    pub(crate) fn is_of_files(&self) -> bool {
        self.sources.as_ref().is_some_and(|sources| sources.any_file)
    }

    /// What two commands write, one after the other.
    pub(crate) fn and(self, second: Self) -> Self {
        let text = match (self.text, second.text) {
            (Some(first), Some(second)) if !Rc::ptr_eq(&first, &second) => {
                let mut both = Rc::unwrap_or_clone(first);
                both.push('\n');
                both.push_str(&second);
                Some(Rc::new(both))
            }
            (first, second) => first.or(second),
        };
        let sources = match (self.sources, second.sources) {
            (Some(first), Some(second)) if !Rc::ptr_eq(&first, &second) => {
                Some(Sources::of_both(first, second))
            }
            (first, second) => first.or(second),
        };
        Self { text, sources }
    }
}

/// Sources that were told already. They are kept, so that no other takes the place of one.
#[derive(Debug, Default)]
pub(crate) struct Known(BTreeMap<*const Sources, Rc<Sources>>);

impl Known {
    /// Whether they were not yet.
    fn insert(&mut self, sources: &Rc<Sources>) -> bool {
        self.0.insert(Rc::as_ptr(sources), Rc::clone(sources)).is_none()
    }
}
