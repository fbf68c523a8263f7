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
            counts.denied += usize::from(event.decision.action == "deny");
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
                let command = question.waiting.command.clone();
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
        let command = self.event()?.command().to_owned();
        self.request_for(effect, &command, None)
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
            None if command.contains("***") => {
                "A secret in this command was masked, so a rule written from here would not \
                 match it: use rampart allow or block with a `*` in its place."
            }
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
mod tests {
    use super::{Counts, Dialog, Key, MOST, Pane, State, Task};
    use crate::approvals::{Question, Scope};
    use crate::audit::Event;
    use crate::endpoint::Endpoint;
    use crate::policy_edit::Effect;

    fn event(action: &str, command: &str) -> Event {
        let mut event = Event::of_command(command);
        event.id = "1".into();
        event.session = "night".into();
        event.decision.action = action.into();
        event
    }

    fn state(commands: &[&str]) -> State {
        let mut state = State::new(None);
        state.add(commands.iter().map(|command| event("allow", command)).collect());
        state
    }

    fn type_in(state: &mut State, text: &str) {
        for c in text.chars() {
            assert!(state.press(Key::Char(c)).is_none());
        }
    }

    fn commands(state: &State) -> Vec<&str> {
        state.events().map(Event::command).collect()
    }

    #[test]
    fn the_newest_is_selected_until_a_person_goes_up() {
        let mut state = state(&["a", "b", "c"]);
        assert_eq!(state.event().unwrap().command(), "c");
        state.press(Key::Up);
        state.add(vec![event("allow", "d")]);
        assert_eq!(state.event().unwrap().command(), "b");
        assert!(!state.follows());
        state.press(Key::Char('G'));
        state.add(vec![event("allow", "e")]);
        assert_eq!(state.event().unwrap().command(), "e");
        for (key, command) in [
            (Key::First, "a"),
            (Key::Up, "a"),
            (Key::Down, "b"),
            (Key::PageDown, "e"),
            (Key::PageUp, "a"),
        ] {
            state.press(key);
            assert_eq!(state.event().unwrap().command(), command, "{key:?}");
        }
    }

    #[test]
    fn what_is_selected_is_among_what_is_drawn() {
        let numbers: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        let mut state = state(&numbers.iter().map(String::as_str).collect::<Vec<_>>());
        for page in [10, 3, 0, 40, 80] {
            for key in [Key::First, Key::PageDown, Key::Down, Key::Last, Key::Up] {
                state.press(key);
                state.scroll(page);
                let drawn = state.first..state.first + page.max(1);
                assert!(drawn.contains(&state.selected()), "{page} {key:?}");
                assert!(state.first == 0 || drawn.end <= 50, "{page} {key:?}: {drawn:?}");
            }
        }
    }

    #[test]
    fn a_filter_works_as_it_is_typed_and_on_what_comes() {
        let mut state = state(&["git push", "ls", "Git pull"]);
        state.press(Key::Char('/'));
        type_in(&mut state, "gi");
        assert_eq!(commands(&state), ["git push", "Git pull"]);
        type_in(&mut state, "t PU night");
        assert_eq!(commands(&state), ["git push", "Git pull"]);
        state.add(vec![event("deny", "make"), event("deny", "git pux")]);
        assert_eq!(commands(&state), ["git push", "Git pull", "git pux"]);
        assert_eq!(state.counts(), Counts { asked: 3, denied: 1, ..Counts::default() });
        // While typing, letters are no commands, but arrows still work.
        state.press(Key::Up);
        assert_eq!(state.event().unwrap().command(), "Git pull");
        state.press(Key::Enter);
        state.press(Key::Escape);
        assert_eq!(commands(&state).len(), 5);
        assert_eq!(state.event().unwrap().command(), "Git pull");
        state.press(Key::Char('/'));
        type_in(&mut state, "deny");
        assert_eq!(commands(&state), ["make", "git pux"]);
        type_in(&mut state, " nothing");
        assert!(state.event().is_none());
        assert!(state.press(Key::Escape).is_none());
        assert!(matches!(state.press(Key::Escape), Some(Task::Quit)));
    }

    #[test]
    fn the_oldest_are_let_go_and_the_selected_one_stays() {
        let mut state = State::new(None);
        state.add((0..MOST).map(|number| event("allow", &format!("c{number}"))).collect());
        state.press(Key::Up);
        let before = state.event().unwrap().command().to_owned();
        state.add((0..900).map(|number| event("allow", &format!("d{number}"))).collect());
        assert_eq!(state.events().len(), MOST);
        assert_eq!(state.event().unwrap().command(), before);
        state.add((0..9_000).map(|_| event("allow", "e")).collect());
        assert_eq!(state.event().unwrap().command(), "e");
    }

    #[test]
    fn a_rule_is_for_the_selected_command_word_for_word() {
        let mut state = state(&["rm [a-z]*"]);
        for (key, wanted) in [('a', Effect::Allow), ('d', Effect::Block)] {
            let Some(Task::Plan(aim)) = state.press(Key::Char(key)) else { panic!("no plan") };
            let request = aim.request;
            assert_eq!((request.effect, &*request.pattern), (wanted, "rm [[]a-z][*]"));
            assert!(!request.once && request.lasts.is_none() && !request.project);
        }
        state.tell("read");
        assert!(state.press(Key::Char('a')).is_none(), "what is told takes the key");
        assert!(state.dialog.is_none());
    }

    #[test]
    fn where_no_rule_can_be_written_it_is_said_why() {
        for command in ["", "curl -H 'Authorization: ***'", "a\nb", &"x".repeat(500)] {
            let mut state = state(&[command]);
            assert!(state.press(Key::Char('a')).is_none(), "{command}");
            assert!(matches!(state.dialog, Some(Dialog::Message(_))), "{command}");
        }
        let mut state = State::new(Some("this process is guarded"));
        state.add(vec![event("deny", "ls")]);
        assert!(state.press(Key::Char('a')).is_none());
        assert!(
            matches!(&state.dialog, Some(Dialog::Message(lines)) if lines[0].contains("guarded"))
        );
        let mut nothing = State::new(None);
        assert!(nothing.press(Key::Char('a')).is_none() && nothing.dialog.is_none());
    }

    fn question(command: &str) -> Question {
        let waiting = serde_json::json!({"id": command, "command": command, "session": "night"});
        Question {
            server: Endpoint::parse("unix:///nowhere").unwrap(),
            waiting: serde_json::from_value(waiting).unwrap(),
        }
    }

    #[test]
    fn what_is_answered_is_the_question_that_was_read() {
        for (key, approved, scope) in
            [('y', true, Scope::Once), ('s', true, Scope::Session), ('n', false, Scope::Once)]
        {
            let mut state = state(&["ls"]);
            assert!(state.press(Key::Char('w')).is_none() && state.dialog.is_none());
            state.waiting = vec![question("first"), question("second")];
            assert!(state.press(Key::Char(key)).is_none(), "no key answers what was not opened");
            state.press(Key::Char('w'));
            // The first one is gone, and another has taken its place.
            state.waiting = vec![question("second")];
            state.press(Key::Down);
            let Some(Task::Answer(answered, reply)) = state.press(Key::Char(key)) else {
                panic!("no answer by {key}")
            };
            assert_eq!(answered.waiting.command, "first");
            assert_eq!((reply.approved, reply.scope), (approved, scope));
            assert!(state.dialog.is_none());
        }
        let mut state = State::new(None);
        state.waiting = vec![question("first"), question("second")];
        state.press(Key::Char('/'));
        type_in(&mut state, "SECOND");
        state.press(Key::Enter);
        state.press(Key::Char('w'));
        let Some(Task::Plan(aim)) = state.press(Key::Char('a')) else { panic!("no plan") };
        assert_eq!(aim.approves.unwrap().waiting.command, "second");
        assert_eq!(aim.request.pattern, "second");
        let mut guarded = State::new(Some("guarded"));
        guarded.waiting = vec![question("first")];
        guarded.press(Key::Char('w'));
        assert!(matches!(guarded.dialog, Some(Dialog::Message(_))));
    }

    #[test]
    fn panes_and_details_are_switched_and_control_keys_work_everywhere() {
        let mut state = state(&["ls"]);
        state.press(Key::Tab);
        assert_eq!(state.pane, Pane::Processes);
        state.press(Key::Char('t'));
        assert_eq!(state.pane, Pane::Decisions);
        state.press(Key::Enter);
        assert_eq!(state.detail, Some(true));
        state.press(Key::Char('/'));
        assert!(matches!(state.press(Key::Suspend), Some(Task::Suspend)));
        assert!(matches!(state.press(Key::Stop), Some(Task::Quit)));
    }
}
