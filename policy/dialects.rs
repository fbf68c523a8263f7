//! What `cmd.exe` and PowerShell make of a line, as far as a policy for the tool `exec` may be
//! about it: their escape marks, and the variables that they set.

use crate::parts::{Faith, Kind};
use crate::visit::Visitor;

/// What these shells undo before a character, and what a POSIX shell does not.
const ESCAPES: &[char] = &['^', '`'];
const QUOTES: &[char] = &['"', '\''];
const ENDS_A_COMMAND: &[char] = &[';', '|', '&', '\n'];
const SHELLS: &[&str] = &["cmd", "cmd.exe", "powershell", "powershell.exe", "pwsh", "pwsh.exe"];
/// What is in each line that sets a variable, in small letters.
const SETS: &[&str] = &["set", "env:"];
/// Cmdlets that set what `env:NAME` names.
const CMDLETS: &[&str] = &["set-item", "new-item", "set-content"];
const METHODS: &[&str] =
    &["[environment]::setenvironmentvariable", "[system.environment]::setenvironmentvariable"];

impl Visitor<'_> {
    /// Adds what such a shell reads otherwise in a line. A backslash is their systems' slash.
    pub(crate) fn line_of_other_shells(&mut self, line: &str) {
        // A star is no blank of two where these are one.
        if line.trim().contains("  ") {
            self.parts.begin(Some(0), Kind::Foreign);
            self.parts.spell_as_sent(Faith::EXCUSES, line.trim());
        }
        let small = line.to_ascii_lowercase();
        let has_paths = line.contains('\\');
        if has_paths {
            self.foreign(line.trim());
        }
        if !has_paths && !line.contains(ESCAPES) && !SETS.iter().any(|word| small.contains(word)) {
            return;
        }
        for piece in line.split(ENDS_A_COMMAND) {
            let undone = piece.replace(ESCAPES, "").replace(QUOTES, "");
            let undone = undone.trim();
            let text = without_shell(undone);
            let name = assigned(text);
            let is_run = has_paths && (text.len() < undone.len() || piece.contains(QUOTES));
            if !text.is_empty() && (piece.contains(ESCAPES) || is_run || name.is_some()) {
                let part = self.foreign(text);
                if let Some(name) = name {
                    self.parts.assigns(part, name);
                }
            }
        }
    }

    fn foreign(&mut self, text: &str) -> usize {
        let part = self.parts.begin(Some(0), Kind::Foreign);
        self.parts.spell(Faith::EXCUSES, &[text]);
        self.parts.spell(Faith::EXCUSES, &[text.replace('\\', "/").as_str()]);
        part
    }
}

/// What such a shell is given to run: the text without the shell and its options.
fn without_shell(text: &str) -> &str {
    let behind = |text: &str| text.find(char::is_whitespace).unwrap_or(text.len());
    let first = text[..behind(text)].rsplit(['/', '\\']).next().unwrap_or_default();
    if !SHELLS.iter().any(|shell| first.eq_ignore_ascii_case(shell)) {
        return text;
    }
    let mut rest = text[behind(text)..].trim_start();
    while rest.starts_with(['/', '-']) {
        rest = rest[behind(rest)..].trim_start();
    }
    rest
}

/// The variable that a command sets in one of these shells.
fn assigned(text: &str) -> Option<&str> {
    let name = |text: &'_ str| -> usize {
        text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
    };
    let named = |text| Some(&text[..name(text)]).filter(|name: &&str| !name.is_empty());
    let starts = |start: &str| {
        let begins = text.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start));
        begins.then(|| &text[start.len()..])
    };
    if let Some(rest) = METHODS.iter().find_map(|method| starts(method)) {
        return named(rest.trim_start_matches([' ', '(']));
    }
    if let Some(rest) = starts("$env:").or_else(|| starts("${env:")) {
        let behind = rest[name(rest)..].trim_start_matches('}').trim_start();
        return named(rest).filter(|_| behind.starts_with('='));
    }
    let (command, rest) = text.split_once(char::is_whitespace)?;
    if CMDLETS.iter().any(|cmdlet| command.eq_ignore_ascii_case(cmdlet)) {
        let of = |word: &str| word.get(..4).is_some_and(|it| it.eq_ignore_ascii_case("env:"));
        return named(&rest.split_whitespace().find(|word| of(word))?[4..]);
    }
    let sets = ["set", "setx"].iter().any(|set| command.eq_ignore_ascii_case(set));
    let word = rest.split_whitespace().find(|word| !word.starts_with('/')).filter(|_| sets)?;
    let (name, _) = word.split_once('=')?;
    named(name).filter(|whole| whole.len() == name.len())
}
