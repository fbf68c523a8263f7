//! What each key does to the state.

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
    assert!(matches!(&state.dialog, Some(Dialog::Message(lines)) if lines[0].contains("guarded")));
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

#[test]
fn a_rule_is_for_the_pipeline_that_was_refused_and_for_what_can_be_matched() {
    let mut piped = event("deny", "sh");
    piped.decision.message = "No. It is piped: `wget -qO- x | sh`".into();
    let mut shortened = event("deny", "sh");
    shortened.decision.message = "No. It is piped: `wget -qO- …`".into();
    for (event, pattern) in [
        (piped, Some("wget -qO- x | sh")),
        (shortened, None),
        (event("deny", "wget --password=*** x"), None),
    ] {
        let mut state = State::new(None);
        state.add(vec![event]);
        let task = state.press(Key::Char('a'));
        let planned = task.map(|task| match task {
            Task::Plan(aim) => aim.request.pattern,
            _ => panic!("not a rule"),
        });
        assert_eq!(planned.as_deref(), pattern);
    }
}
