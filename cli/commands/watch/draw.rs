//! Draws the state on a terminal of any size.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout as Areas, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::guarded::{Guarded, Process};
use super::state::{Dialog, Pane, State};
use crate::approvals::Question;
use crate::audit::Event;
use crate::command_line::how_to_allow;
use crate::commands::log::{Layout, colour_of, name, policy, told, who};
use crate::terminal::{Colour, cut, harmless, plural, width};

/// From this width on the processes are shown beside the decisions.
const WIDE: u16 = 110;
/// The width of the processes beside the decisions.
const PROCESSES: u16 = 38;
/// From this height on the details of the selected decision are shown.
const HIGH: u16 = 20;
/// The height of the details.
const DETAIL: u16 = 8;

/// How many questions are shown.
const QUESTIONS: usize = 4;

/// Draws everything.
pub fn draw(state: &mut State, coloured: bool, frame: &mut Frame) {
    let paint = Paint { coloured };
    let area = frame.area();
    let detail = state.detail.unwrap_or(area.height >= HIGH);
    state.shows_detail = detail;
    let detail = if detail { DETAIL.min(area.height / 2) } else { 0 };
    let questions = u16::try_from(state.questions().take(QUESTIONS).count()).unwrap_or(0);
    let waiting = if questions > 0 { questions + 1 } else { 0 };
    let [head, above, body, below, foot] = Areas::vertical([
        Constraint::Length(1),
        Constraint::Length(waiting.min(area.height / 3)),
        Constraint::Min(1),
        Constraint::Length(detail),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(head_line(state, paint, head.width), head);
    if !above.is_empty() {
        let area = titled(frame, above, "waiting for you: w opens the first", paint);
        frame.render_widget(question_lines(state, paint, area), area);
    }
    let (decisions, processes) = match (area.width >= WIDE, state.pane) {
        (true, _) => {
            let [left, right] =
                Areas::horizontal([Constraint::Min(1), Constraint::Length(PROCESSES)]).areas(body);
            (Some(left), Some(right))
        }
        (false, Pane::Decisions) => (Some(body), None),
        (false, Pane::Processes) => (None, Some(body)),
    };
    if let Some(area) = decisions {
        let area = titled(frame, area, "decisions", paint);
        draw_decisions(state, paint, frame, area);
    }
    if let Some(area) = processes {
        let area = titled(frame, area, "guarded processes", paint);
        frame.render_widget(process_lines(&state.guarded, paint, area), area);
    }
    if detail > 0 {
        let area = titled(frame, below, "selected", paint);
        let lines = state.event().map_or_else(Vec::new, |event| detail_lines(event, paint));
        frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
    }
    frame.render_widget(foot_line(state, paint, foot.width), foot);
    draw_dialog(state, paint, frame, area);
}

/// Styles, with or without colours.
#[derive(Clone, Copy)]
struct Paint {
    coloured: bool,
}

impl Paint {
    fn style(self, colour: Option<Colour>) -> Style {
        let style = Style::default();
        match colour {
            // Without colours, dim text is plain too: the terminal may not support it.
            _ if !self.coloured => style,
            None => style,
            Some(Colour::Red) => style.fg(Color::Red),
            Some(Colour::Yellow) => style.fg(Color::Yellow),
            Some(Colour::Magenta) => style.fg(Color::Magenta),
            Some(Colour::Dim) => style.add_modifier(Modifier::DIM),
        }
    }

    fn span(self, colour: Colour, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.style(Some(colour)))
    }
}

/// Draws a title line at the top of an area; returns the rest.
fn titled(frame: &mut Frame, area: Rect, title: &str, paint: Paint) -> Rect {
    let width = usize::from(area.width);
    let line = cut(&format!("── {title} {}", "─".repeat(width)), width + 1);
    let line: String = line.chars().filter(|c| *c != '…').collect();
    let [line_area, rest] =
        Areas::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::from(paint.span(Colour::Dim, line)), line_area);
    // Leave a free column between areas side by side.
    Rect { width: rest.width.saturating_sub(1), ..rest }
}

fn head_line(state: &State, paint: Paint, width: u16) -> Line<'static> {
    let counts = state.counts();
    let bold = Style::default().add_modifier(Modifier::BOLD);
    let runs = state.guarded.runs.len();
    let mut spans = vec![
        Span::styled("rampart watch", bold),
        Span::raw(format!("  {} guarded  {} asked  ", plural(runs as u64, "run"), counts.asked)),
        paint.span(Colour::Red, format!("{} denied", counts.denied)),
        Span::raw("  "),
        paint.span(Colour::Yellow, format!("{} watched", counts.watched)),
    ];
    if counts.unchecked > 0 {
        let text = format!("  {} UNCHECKED", counts.unchecked);
        spans.insert(2, Span::styled(text + "  ", paint.style(Some(Colour::Red)).patch(bold)));
    }
    if !state.waiting.is_empty() {
        let text = format!("{} WAIT  ", state.waiting.len());
        let style = paint.style(Some(Colour::Magenta)).patch(bold);
        spans.insert(1, Span::styled(format!("  {text}"), style));
    }
    if width < 60 {
        spans.remove(0);
    }
    Line::from(spans)
}

fn foot_line(state: &State, paint: Paint, width: u16) -> Line<'static> {
    if state.types {
        let cursor = Span::styled(" ", Style::default().add_modifier(Modifier::REVERSED));
        return Line::from(vec![Span::raw(format!("/{}", harmless(&state.filter))), cursor]);
    }
    let mut text = String::new();
    if !state.filter.is_empty() {
        text = format!("filter: {} (esc ends it)  ", harmless(&state.filter));
    }
    if !state.follows() {
        text.push_str("(not the newest: G)  ");
    }
    text.push_str("↑↓ select  / filter  a allow  d deny  enter detail  t processes  q quit");
    Line::from(paint.span(Colour::Dim, cut(&text, usize::from(width))))
}

fn draw_decisions(state: &mut State, paint: Paint, frame: &mut Frame, area: Rect) {
    if area.is_empty() {
        return;
    }
    state.scroll(usize::from(area.height));
    let events: Vec<&Event> =
        state.events().skip(state.first).take(usize::from(area.height)).collect();
    if events.is_empty() {
        let text = if state.filter.is_empty() {
            "Nothing was asked yet. Start something: rampart preload -- COMMAND"
        } else {
            "No decision matches these words."
        };
        let text = Paragraph::new(text).wrap(Wrap { trim: false });
        frame.render_widget(text, area);
        return;
    }
    let layout = Layout::for_events(&events.iter().copied(), Some(usize::from(area.width)));
    let selected = state.selected() - state.first;
    let row = |(number, event): (usize, &&Event)| {
        let cells = layout.cells(event).into_iter();
        let spans = cells.map(|(colour, text)| Span::styled(text + "  ", paint.style(colour)));
        let line = Line::from(spans.collect::<Vec<_>>());
        let reversed = Style::default().add_modifier(Modifier::REVERSED);
        if number == selected { line.style(reversed) } else { line }
    };
    let lines: Vec<Line> = events.iter().enumerate().map(row).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn process_lines(guarded: &Guarded, paint: Paint, area: Rect) -> Paragraph<'static> {
    let width = usize::from(area.width);
    let mut lines = Vec::new();
    for tree in &guarded.runs {
        let bold = Style::default().add_modifier(Modifier::BOLD);
        let style =
            if tree.run.is_unchecked() { paint.style(Some(Colour::Red)).patch(bold) } else { bold };
        lines.push(Line::styled(cut(&harmless(&tree.run.name()), width), style));
        let state = format!("  {}", harmless(&tree.run.state()));
        lines.push(Line::from(paint.span(Colour::Dim, cut(&state, width))));
        for Process { pid, depth, command } in &tree.processes {
            let indent = "  ".repeat((*depth).min(width / 8));
            let text = format!("  {indent}{pid} {}", harmless(command));
            lines.push(Line::raw(cut(&text, width)));
        }
    }
    if lines.is_empty() {
        lines.push(Line::from(paint.span(Colour::Dim, "nothing runs under guard")));
    }
    Paragraph::new(lines)
}

fn question_lines(state: &State, paint: Paint, area: Rect) -> Paragraph<'static> {
    let line = |Question { waiting, .. }: &Question| {
        let text = format!(
            "{:>4} s  {}/{}  {}",
            waiting.left_ms / 1000,
            waiting.agent,
            waiting.session,
            waiting.shown()
        );
        let text = cut(&harmless(&text), usize::from(area.width));
        Line::from(paint.span(Colour::Magenta, text))
    };
    Paragraph::new(state.questions().take(QUESTIONS).map(line).collect::<Vec<_>>())
}

/// A question, with all that a person needs to answer it.
fn question_text(Question { waiting, .. }: &Question) -> Vec<String> {
    let process = waiting.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
    let place = waiting.cwd.as_deref().map_or_else(String::new, |cwd| format!(", in {cwd}"));
    let policy = waiting.policy.as_deref().map_or_else(String::new, |name| format!(" [{name}]"));
    let around = waiting.around().map(|line| format!("    in {line}"));
    let mut lines = vec![
        format!("{}{process}{place} asks to run", name(&waiting.agent, &waiting.session)),
        format!("    {}", waiting.asked()),
    ];
    lines.extend(around);
    lines.push(format!("{}{policy}", waiting.message));
    lines.push(format!("It waits {} s more.", waiting.left_ms / 1000));
    lines
}

/// The details of a record.
fn detail_lines(event: &Event, paint: Paint) -> Vec<Line<'static>> {
    let bold = Style::default().add_modifier(Modifier::BOLD);
    let mut lines = vec![Line::styled(told(event), bold)];
    if event.is_decision() {
        let action = &*event.decision.action;
        let colour = colour_of(action);
        let mut spans = vec![Span::styled(harmless(action), paint.style(colour))];
        let policy = policy(event);
        if !policy.is_empty() {
            spans.push(Span::raw(format!(" by {policy}")));
        }
        if !event.decision.message.is_empty() {
            spans.push(Span::raw(format!(": {}", harmless(&event.decision.message))));
        }
        lines.push(Line::from(spans));
        if event.is_refusal()
            && let Some(how) = event.typed().and_then(how_to_allow)
        {
            lines.push(Line::raw(format!("to allow it: a, or {how}")));
        }
    }
    let mut facts = vec![who(event), event.local().day_and_clock()];
    let number = |name: &str| event.number(name).map(|number| format!("{name} {number}"));
    facts.extend(number("pid"));
    facts.extend(number("parent"));
    for name in ["mode", "coverage", "by", "cwd"] {
        facts.extend(event.asked(name).map(|word| format!("{name} {}", harmless(word))));
    }
    lines.push(Line::from(paint.span(Colour::Dim, facts.join("  "))));
    lines
}

/// A text in lines of so many columns. Folded between any two characters, so that it is known how
/// many lines it takes.
fn folded(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut used) = (String::new(), 0);
    for c in text.chars() {
        let wide = width(c.encode_utf8(&mut [0; 4]));
        if used + wide > columns && used > 0 {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        line.push(c);
        used += wide;
    }
    lines.push(line);
    lines
}

fn draw_dialog(state: &State, paint: Paint, frame: &mut Frame, area: Rect) {
    let (text, keys) = match &state.dialog {
        None => return,
        Some(Dialog::Rule { plan, .. }) => {
            let columns = usize::from(area.width).saturating_sub(6);
            let keys = "y write  o once  h for an hour  n cancel";
            (plan.told(true, Some(columns)), keys)
        }
        Some(Dialog::Question(question)) => {
            (question_text(question), "y approve  s for this session  a always  n deny  esc")
        }
        Some(Dialog::Message(lines)) => (lines.clone(), "any key goes on"),
    };
    let inside = usize::from(area.width.saturating_sub(2)).max(1);
    let mut lines: Vec<Line> =
        text.iter().flat_map(|line| folded(&harmless(line), inside)).map(Line::raw).collect();
    lines.push(Line::raw(""));
    let bold = Style::default().add_modifier(Modifier::BOLD);
    lines.extend(folded(keys, inside).into_iter().map(|line| Line::styled(line, bold)));
    let rows = lines.len();
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect { y: area.y + (area.height - height) / 2, height, ..area };
    let block = Block::bordered().border_style(paint.style(Some(Colour::Dim)));
    // If it does not fit, scroll to the end, where the keys are.
    let hidden = u16::try_from(rows).unwrap_or(u16::MAX).saturating_sub(height.saturating_sub(2));
    let text = Paragraph::new(lines).scroll((hidden, 0)).block(block);
    frame.render_widget(Clear, place);
    frame.render_widget(text, place);
}
