//! The state of `rampart watch` and what each key does to it, without the terminal.

use std::collections::VecDeque;

use super::guarded::Guarded;
use crate::approvals::{Question, Reply, Scope};
use crate::audit::Event;
use crate::command_line::{how_to_allow, literal};
use crate::commands::log::{policy, told, who};
use crate::policy_edit::Effect;
use crate::rule_plan::{Plan, RuleRequest};

/// How many decisions are kept; `rampart log` shows older ones.
pub const MOST: usize = 5_000;
/// How many more may accumulate before the oldest are dropped.
const SLACK: usize = 500;
/// The page size before anything was drawn.
const PAGE: usize = 10;
/// How long a rule holds after `h`.
const HOUR: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// Why no rule is written from a record.
const NOT_WHOLE: &str = "A secret in this command was masked, or its end left out, so a rule \
    written from here would not match it: use rampart allow or block with a `*` in its place.";

/// The keys that have a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Enter,
    Escape,
    Backspace,
    Tab,
    /// Control and C.
    Stop,
    /// Control and Z.
    Suspend,
    Char(char),
}

/// What the caller has to do.
#[derive(Debug)]
pub enum Task {
    Quit,
    Suspend,
    /// Plan this rule, and pass the plan to [`State::planned`].
    Plan(RuleTarget),
    /// Write the rule, and report with [`State::tell`].
    Write(Box<Plan>, RuleTarget),
    /// Answer the question.
    Answer(Box<Question>, Reply),
}

/// A rule that the person wants.
#[derive(Debug)]
pub struct RuleTarget {
    pub request: RuleRequest,
    /// The question to approve once it is written.
    pub approves: Option<Box<Question>>,
}

/// The pane that is shown if there is room for only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    Decisions,
    Processes,
}

/// A dialog over the rest, which gets the keys.
#[derive(Debug)]
pub enum Dialog {
    /// A rule to confirm.
    Rule { aim: RuleTarget, plan: Box<Plan> },
    /// A question to answer; it stays the same one whatever arrives meanwhile.
    Question(Box<Question>),
    /// A message.
    Message(Vec<String>),
}

/// A record, and the text that the filter searches.
#[derive(Debug)]
struct Row {
    event: Event,
    text: String,
}

/// Counts of the shown decisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub asked: usize,
    pub denied: usize,
    pub watched: usize,
    /// Programs that ran while the server could not be reached.
    pub unchecked: u64,
}

/// Everything that is shown.
#[derive(Debug)]
pub struct State {
    rows: VecDeque<Row>,
    /// Indices of the rows that match the filter.
    shown: Vec<usize>,
    /// The selected index in `shown`.
    selected: usize,
    follows: bool,
    pub filter: String,
    /// Whether the filter is being typed.
    pub types: bool,
    pub pane: Pane,
    /// Whether details are shown; `None` if the terminal's height decides.
    pub detail: Option<bool>,
    /// Whether details were drawn last.
    pub shows_detail: bool,
    pub dialog: Option<Dialog>,
    pub guarded: Guarded,
    /// Waiting questions, the oldest first.
    pub waiting: Vec<Question>,
    /// How many rows were drawn last.
    pub page: usize,
    pub first: usize,
    /// Why nothing may be changed from here, if so.
    may_not: Option<&'static str>,
}

impl State {
    /// An empty state.
    pub fn new(may_not: Option<&'static str>) -> Self {
        Self {
            rows: VecDeque::new(),
            shown: Vec::new(),
            selected: 0,
            follows: true,
            filter: String::new(),
            types: false,
            pane: Pane::Decisions,
            detail: None,
            shows_detail: false,
            dialog: None,
            guarded: Guarded::default(),
            waiting: Vec::new(),
            page: PAGE,
            first: 0,
            may_not,
        }
    }

    /// Adds records, the newest last.
    pub fn add(&mut self, events: Vec<Event>) {
        for event in events {
            let words = [&*event.decision.action, &who(&event), &told(&event), &policy(&event)];
            let row = Row { text: words.join(" ").to_lowercase(), event };
            if is_wanted(&row, &self.filter) {
                self.shown.push(self.rows.len());
            }
            self.rows.push_back(row);
        }
        if self.rows.len() > MOST + SLACK {
            let gone = self.rows.len() - MOST;
            let lost = self.shown.iter().take_while(|row| **row < gone).count();
            self.rows.drain(..gone);
            self.shown.drain(..lost);
            self.shown.iter_mut().for_each(|row| *row -= gone);
            self.selected = self.selected.saturating_sub(lost);
            self.first = self.first.saturating_sub(lost);
        }
        if self.follows {
            self.selected = self.shown.len().saturating_sub(1);
        }
    }

    /// The records that match the filter.
    pub fn events(&self) -> impl ExactSizeIterator<Item = &Event> {
        self.shown.iter().map(|row| &self.rows[*row].event)
    }

    /// The index of the selected record among them.
    pub fn selected(&self) -> usize {
        self.selected
    }

    /// The selected record.
    pub fn event(&self) -> Option<&Event> {
        self.shown.get(self.selected).map(|row| &self.rows[*row].event)
    }

    /// Whether new records are selected as they arrive.
    pub fn follows(&self) -> bool {
        self.follows
    }

    /// Counts the records that match the filter.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for event in self.events() {
            counts.unchecked += event.unchecked();
            if !event.is_decision() {
                continue;
            }
            counts.asked += 1;
            counts.denied += usize::from(event.is_refusal());
            counts.watched += usize::from(event.decision.action == "watch");
        }
        counts
    }

    /// The questions that match the filter.
    pub fn questions(&self) -> impl Iterator<Item = &Question> {
        let wanted = |question: &&Question| {
            let waiting = &question.waiting;
            let words = [&*waiting.agent, &waiting.session, &waiting.command];
            has_words(&words.join(" ").to_lowercase(), &self.filter)
        };
        self.waiting.iter().filter(wanted)
    }

    /// Scrolls so that the selected row is visible.
    pub fn scroll(&mut self, page: usize) {
        self.page = page.max(1);
        let last = self.shown.len().saturating_sub(self.page);
        self.first = self.first.min(last).min(self.selected);
        self.first = self.first.max((self.selected + 1).saturating_sub(self.page));
    }

    /// Takes the result of a [`Task::Plan`].
    pub fn planned(&mut self, aim: RuleTarget, plan: Result<Option<Plan>, String>) {
        self.dialog = Some(match plan {
            Ok(Some(plan)) => Dialog::Rule { aim, plan: Box::new(plan) },
            Ok(None) => {
                Dialog::Message(vec!["It is already allowed: there is nothing to write.".into()])
            }
            Err(why) => Dialog::Message(why.lines().map(str::to_owned).collect()),
        });
    }

    /// Shows a message.
    pub fn tell(&mut self, text: &str) {
        self.dialog = Some(Dialog::Message(text.lines().map(str::to_owned).collect()));
    }

    /// Handles a key; returns what the caller has to do.
    pub fn press(&mut self, key: Key) -> Option<Task> {
        match (key, &self.dialog) {
            (Key::Stop, _) => return Some(Task::Quit),
            (Key::Suspend, _) => return Some(Task::Suspend),
            (_, Some(_)) => return self.press_in_dialog(key),
            _ => {}
        }
        if self.types {
            self.type_filter(key);
            return None;
        }
        match key {
            Key::Up | Key::Char('k') => self.select(self.selected.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.select(self.selected + 1),
            Key::PageUp => self.select(self.selected.saturating_sub(self.page)),
            Key::PageDown => self.select(self.selected + self.page),
            Key::First | Key::Char('g') => self.select(0),
            Key::Last | Key::Char('G') => self.select(usize::MAX),
            Key::Char('/') => self.types = true,
            Key::Tab | Key::Char('t') => {
                self.pane = match self.pane {
                    Pane::Decisions => Pane::Processes,
                    Pane::Processes => Pane::Decisions,
                };
            }
            Key::Enter => self.detail = Some(!self.shows_detail),
            Key::Escape if !self.filter.is_empty() => self.filter_by(String::new()),
            Key::Escape | Key::Char('q') => return Some(Task::Quit),
            Key::Char('a') => return self.request(Effect::Allow),
            Key::Char('d') => return self.request(Effect::Block),
            Key::Char('w') => self.open_question(),
            _ => {}
        }
        None
    }

    fn press_in_dialog(&mut self, key: Key) -> Option<Task> {
        match (key, self.dialog.take()?) {
            (Key::Enter | Key::Char('y'), Dialog::Rule { aim, plan }) => {
                Some(Task::Write(plan, aim))
            }
            (Key::Escape | Key::Char('n' | 'q'), Dialog::Rule { .. })
            | (Key::Escape | Key::Char('q'), Dialog::Question(_))
            | (_, Dialog::Message(_)) => None,
            (Key::Char('o'), Dialog::Rule { aim, .. }) => {
                let request = RuleRequest { once: !aim.request.once, ..aim.request };
                Some(Task::Plan(RuleTarget { request, ..aim }))
            }
            (Key::Char('h'), Dialog::Rule { aim, .. }) => {
                let lasts = if aim.request.lasts.is_some() { None } else { Some(HOUR) };
                Some(Task::Plan(RuleTarget {
                    request: RuleRequest { lasts, ..aim.request },
                    ..aim
                }))
            }
            (Key::Char('y'), Dialog::Question(question)) => {
                Some(Task::Answer(question, reply(true, Scope::Once)))
            }
            (Key::Char('s'), Dialog::Question(question)) => {
                Some(Task::Answer(question, reply(true, Scope::Session)))
            }
            (Key::Char('n'), Dialog::Question(question)) => {
                Some(Task::Answer(question, reply(false, Scope::Once)))
            }
            (Key::Char('a'), Dialog::Question(question)) => {
                let command = question.waiting.asked().to_owned();
                self.request_for(Effect::Allow, &command, Some(question))
            }
            (_, dialog) => {
                self.dialog = Some(dialog);
                None
            }
        }
    }

    fn open_question(&mut self) {
        let oldest = self.questions().next().cloned();
        match (oldest, self.may_not) {
            (None, _) => {}
            (Some(_), Some(why)) => self.tell(why),
            (Some(question), None) => self.dialog = Some(Dialog::Question(Box::new(question))),
        }
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Char(c) => self.filter_by(format!("{}{c}", self.filter)),
            Key::Backspace => {
                let mut filter = self.filter.clone();
                self.types = filter.pop().is_some();
                self.filter_by(filter);
            }
            Key::Escape => {
                self.types = false;
                self.filter_by(String::new());
            }
            Key::Enter => self.types = false,
            Key::Up => self.select(self.selected.saturating_sub(1)),
            Key::Down => self.select(self.selected + 1),
            _ => {}
        }
    }

    /// Applies a filter, and keeps the selection if it still matches.
    fn filter_by(&mut self, filter: String) {
        let selected = self.shown.get(self.selected).copied();
        self.filter = filter;
        let wanted = self.rows.iter().enumerate().filter(|(_, row)| is_wanted(row, &self.filter));
        self.shown = wanted.map(|(number, _)| number).collect();
        let last = self.shown.len().saturating_sub(1);
        let same = selected.and_then(|row| self.shown.binary_search(&row).ok());
        self.selected = if self.follows { last } else { same.unwrap_or(last) };
    }

    fn select(&mut self, place: usize) {
        let last = self.shown.len().saturating_sub(1);
        self.selected = place.min(last);
        self.follows = self.selected == last;
    }

    /// A rule for the selected command.
    fn request(&mut self, effect: Effect) -> Option<Task> {
        let Some(line) = self.event()?.typed().map(str::to_owned) else {
            self.tell(NOT_WHOLE);
            return None;
        };
        self.request_for(effect, &line, None)
    }

    fn request_for(
        &mut self,
        effect: Effect,
        command: &str,
        approves: Option<Box<Question>>,
    ) -> Option<Task> {
        let why_not = match self.may_not {
            Some(why) => why,
            None if command.is_empty() => "This record has no command.",
            None if how_to_allow(command).is_none() => {
                "This command is too long or has several lines: use rampart allow or block with \
                 a pattern for it."
            }
            None => "",
        };
        if !why_not.is_empty() {
            self.tell(why_not);
            return None;
        }
        let pattern = literal(command);
        let (message, once, lasts, project) = (None, false, None, false);
        let request = RuleRequest { effect, pattern, message, once, lasts, project };
        Some(Task::Plan(RuleTarget { request, approves }))
    }
}

fn reply(approved: bool, scope: Scope) -> Reply {
    Reply { approved, scope, message: None }
}

/// Whether a row matches the filter.
fn is_wanted(row: &Row, filter: &str) -> bool {
    has_words(&row.text, filter)
}

/// Whether a lower-case text contains each word of the filter, ignoring case.
fn has_words(text: &str, filter: &str) -> bool {
    filter.split_whitespace().all(|word| text.contains(&word.to_lowercase()))
}

#[cfg(test)]
mod tests;
