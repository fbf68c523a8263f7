//! `rampart watch`: decisions as they are made, and the guarded processes.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::Pid;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, KeyCode, KeyEventKind, KeyModifiers};

use crate::approvals::{self, Question, Reply, Scope, Waits};
use crate::audit::{Follower, Trail};
use crate::failure::Failure;
use crate::home::Home;
use crate::rule_plan::Plan;
use crate::run::environment::is_guarded;
use crate::terminal::Screen;

mod draw;
mod guarded;
mod state;

use guarded::Guarded;
use state::{Key, MOST, RuleTarget, State, Task};

const EXAMPLES: &str = "\
Keys:
  ↑ ↓ PgUp PgDn g G   select a decision; G goes back to the newest
  /                   show only what matches these words, as you type
  a  d                show the rule that would allow or deny the selected command, then write it
  w                   the question that has waited longest: y approves it once, s for this
                      session, a from now on by a rule, n denies it
  enter               the selected one in full: policy, message, process
  t                   the guarded processes, where there is no room beside
  q                   quit

As lines, and where there is no terminal: rampart log --follow";

/// How long a key or a new decision may wait.
const LOOK: Duration = Duration::from_millis(200);
/// How often the processes are checked.
const LOOK_AT_PROCESSES: Duration = Duration::from_secs(1);

/// Show decisions as they are made, and the guarded processes
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The audit [default: ~/.rampart/audit.jsonl]; a directory is one of the Go command's
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
}

/// Runs until a person quits.
///
/// # Errors
/// There is no terminal, or the audit cannot be read.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() || is_dumb {
        return Err(Failure::usage(
            "`rampart watch` needs a terminal; `rampart log --follow` writes lines to anywhere",
        ));
    }
    let home = Home::locate()?;
    let trail = Trail::at(arguments.audit.as_deref())?;
    // Opened before the existing records are read, so that none is missed.
    let follower = Follower::new(trail.path());
    let may_not = is_guarded()
        .then_some("Rules are for the person at the keyboard, and this process is guarded itself.");
    let mut state = State::new(may_not);
    state.add(trail.last(MOST, |_| true)?);
    let coloured = Screen::of_stdout().is_coloured();
    end_by_signals();
    let failed = |error| Failure::new(format!("cannot show it on this terminal: {error}"));
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let shown = show(&mut terminal, &mut state, follower, &home, coloured).map_err(failed);
    // Where the terminal is gone this fails, and nobody is there to be told.
    let _ = ratatui::try_restore();
    shown
}

fn show(
    terminal: &mut DefaultTerminal,
    state: &mut State,
    mut follower: Follower,
    home: &Home,
    coloured: bool,
) -> std::io::Result<()> {
    let processes = look_at_processes(home.clone());
    let mut looked = Instant::now();
    loop {
        terminal.draw(|frame| draw::draw(state, coloured, frame))?;
        // Wait for something new. After a key, take all further ones that are ready.
        let mut changed = false;
        while !changed && !ENDED.load(Ordering::Relaxed) {
            let mut wait = LOOK.saturating_sub(looked.elapsed());
            while event::poll(wait)? {
                changed = true;
                wait = Duration::ZERO;
                let Some(order) = key(&event::read()?).and_then(|key| state.press(key)) else {
                    continue;
                };
                match order {
                    Task::Quit => return Ok(()),
                    Task::Suspend => {
                        ratatui::restore();
                        kill(Pid::this(), Signal::SIGTSTP)?;
                        *terminal = ratatui::try_init()?;
                    }
                    Task::Plan(aim) => plan(state, aim),
                    Task::Write(planned, aim) => write(state, &planned, aim),
                    Task::Answer(question, reply) => answer(state, &question, &reply),
                }
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let added = follower.added();
                changed |= !added.is_empty();
                state.add(added);
            }
            for (guarded, waiting) in processes.try_iter() {
                state.guarded = guarded;
                state.waiting = waiting;
                changed = true;
            }
        }
        if ENDED.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

fn plan(state: &mut State, aim: RuleTarget) {
    match (Plan::new(&aim.request), aim.approves) {
        // The rule was written by somebody else meanwhile.
        (Ok(None), Some(question)) => answer(state, &question, &FROM_NOW_ON),
        (planned, approves) => {
            let planned = planned.map_err(|failure| failure.sentence().to_owned());
            state.planned(RuleTarget { approves, ..aim }, planned);
        }
    }
}

fn write(state: &mut State, planned: &Plan, aim: RuleTarget) {
    match planned.write() {
        Ok(true) => match aim.approves {
            Some(question) => answer(state, &question, &FROM_NOW_ON),
            None => state.tell(
                "Written; rampart rules lists it, and can take it back.\n\
                 Start the command again: a run keeps the policy that it began with.",
            ),
        },
        // The file has changed: show the new plan.
        Ok(false) => plan(state, aim),
        Err(failure) => state.tell(failure.sentence()),
    }
}

/// The rule is for later runs; this run keeps its policy, so the approval is for its session.
const FROM_NOW_ON: Reply = Reply { approved: true, scope: Scope::Session, message: None };

fn answer(state: &mut State, question: &Question, reply: &Reply) {
    state.waiting.retain(|other| other.waiting.id != question.waiting.id);
    if let Err(failure) = question.resolve(reply) {
        state.tell(failure.sentence());
    }
}

/// Watches processes and questions on another thread: asking the servers may take longer than a key
/// may wait.
fn look_at_processes(home: Home) -> Receiver<(Guarded, Vec<Question>)> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut known: Vec<Question> = Vec::new();
        loop {
            let Waits { mut questions, silent } = approvals::all(&home);
            // What waits at a busy server does not leave the screen.
            known.retain(|it| silent.iter().any(|each| each.server.url() == it.server.url()));
            questions.append(&mut known);
            known.clone_from(&questions);
            if sender.send((Guarded::look(), questions)).is_err() {
                return;
            }
            thread::sleep(LOOK_AT_PROCESSES);
            if ENDED.load(Ordering::Relaxed) {
                // The other thread reads a terminal that is gone, whose end crossterm takes for keys
                // to come.
                let _ = ratatui::try_restore();
                std::process::exit(0);
            }
        }
    });
    receiver
}

/// Whether a signal has asked to end.
static ENDED: AtomicBool = AtomicBool::new(false);

extern "C" fn end(_signal: libc::c_int) {
    ENDED.store(true, Ordering::Relaxed);
}

/// Makes ending signals restore the terminal first.
fn end_by_signals() {
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        // SAFETY: the handler only stores to an atomic.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

/// Translates a key.
fn key(event: &event::Event) -> Option<Key> {
    let pressed = event.as_key_event().filter(|key| key.kind != KeyEventKind::Release)?;
    let control = pressed.modifiers.contains(KeyModifiers::CONTROL);
    Some(match pressed.code {
        KeyCode::Char('c') if control => Key::Stop,
        KeyCode::Char('z') if control => Key::Suspend,
        // Typed before raw mode: the terminal has turned Enter into a newline.
        KeyCode::Char('j') if control => Key::Enter,
        KeyCode::Char(_) if control => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::First,
        KeyCode::End => Key::Last,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Tab => Key::Tab,
        _ => return None,
    })
}
