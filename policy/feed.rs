//! What a command is given to read, as far as the line says: its text, and where it came from.
//!
//! A pipeline hands on what it was given and adds to it, stage by stage, so that what was there
//! before is shared and never copied: a line of any make costs what it is long.

use std::collections::HashSet;
use std::rc::Rc;

/// What a command reads or writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Feed {
    text: Option<Rc<String>>,
    sources: Option<Rc<Sources>>,
}

/// Where something came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

/// Sources of its own, or those of two others.
#[derive(Debug)]
struct Sources {
    own: Vec<Source>,
    of: Vec<Rc<Sources>>,
    any_url: bool,
}

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
        let any_url = own.iter().any(Source::is_url);
        let sources = Sources { own, of: Vec::new(), any_url };
        Self { text: None, sources: (!sources.own.is_empty()).then(|| Rc::new(sources)) }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_ref().map(|text| text.as_str())
    }

    /// The same without the text.
    pub(crate) fn untold(&self) -> Self {
        Self { text: None, sources: self.sources.clone() }
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

    /// The URLs that it came from, each once.
    pub(crate) fn urls(&self) -> Vec<String> {
        if self.is_foreign() { self.each(true) } else { Vec::new() }
    }

    /// The files that it came from, each once.
    pub(crate) fn files(&self) -> Vec<String> {
        self.each(false)
    }

    fn each(&self, urls: bool) -> Vec<String> {
        let mut waiting: Vec<&Rc<Sources>> = self.sources.iter().collect();
        let (mut seen, mut known) = (HashSet::new(), HashSet::new());
        let mut found = Vec::new();
        while let Some(sources) = waiting.pop() {
            if seen.insert(Rc::as_ptr(sources)) {
                waiting.extend(sources.of.iter().rev());
                found.extend(sources.own.iter().filter(|own| known.insert(*own)));
            }
        }
        let of_kind = found.into_iter().filter(|source| source.is_url() == urls);
        of_kind.map(|(Source::Url(name) | Source::File(name))| name.clone()).collect()
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
                let any_url = first.any_url || second.any_url;
                Some(Rc::new(Sources { own: Vec::new(), of: vec![first, second], any_url }))
            }
            (first, second) => first.or(second),
        };
        Self { text, sources }
    }
}
