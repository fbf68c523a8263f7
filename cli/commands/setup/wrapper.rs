//! `rampart setup --agent`: an alias in the shell's start file that guards an agent.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use super::Shell;
use crate::command_line::command_line;
use crate::failure::Failure;
use crate::output;
use crate::run::environment::refuse_guarded;
use crate::text_file;
use crate::whole_file::replace;

/// The comment that marks a written line.
const MARK: &str = "  # rampart setup --agent ";
/// All supported shells.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Checks the name of an agent's program.
///
/// # Errors
/// It cannot be one.
pub fn name(text: &str) -> Result<String, String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.is_empty() || text.starts_with(['-', '.']) || !text.chars().all(is_of_name) {
        return Err("write a program's name, such as codex".to_owned());
    }
    Ok(text.to_owned())
}

/// Adds the alias, after showing it.
///
/// # Errors
/// The shell is not known, or its file cannot be written.
pub fn add(agent: &str, shell: Option<Shell>, yes: bool) -> Result<(), Failure> {
    refuse_guarded("setup --agent")?;
    let shell = shell.map_or_else(of_user, Ok)?;
    let file = start_file(shell)?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot tell where this program is: {error}")))?;
    let line = alias(shell, &program, agent);
    let before = read(&file)?;
    if before.lines().any(|each| each == line) {
        return output::line(format_args!("{} has it already: {line}", file.display()));
    }
    output::line(format_args!("adds to the end of {}:\n    {line}", file.display()))?;
    let name = format!("alias {agent}");
    let is_other = |line: &&str| {
        let rest = line.trim_start().strip_prefix(&*name);
        rest.is_some_and(|rest| rest.starts_with(['=', ' '])) && !line.contains(MARK)
    };
    if let Some(other) = before.lines().find(is_other) {
        output::line(format_args!("which comes after, and so in place of:\n    {}", other.trim()))?;
    }
    if !yes && !is_confirmed()? {
        return output::line("Nothing was written; --yes writes it without asking.");
    }
    let kept = without(&before, agent);
    let end = if kept.is_empty() || kept.ends_with('\n') { "" } else { "\n" };
    write(&file, &format!("{kept}{end}{line}\n"))?;
    output::line(format_args!(
        "Written. It holds in shells that you start from now on; `rampart setup --remove` takes it back."
    ))
}

/// Removes all aliases that were added.
///
/// # Errors
/// A file cannot be written.
pub fn remove() -> Result<(), Failure> {
    for shell in SHELLS {
        let file = start_file(shell)?;
        let before = read(&file)?;
        let gone: Vec<&str> = before.lines().filter(|line| line.contains(MARK)).collect();
        if gone.is_empty() {
            continue;
        }
        let kept = before.split_inclusive('\n').filter(|line| !line.contains(MARK));
        let kept: String = kept.collect();
        if kept.is_empty() {
            // It began with the alias.
            std::fs::remove_file(&file).map_err(|error| {
                Failure::new(format!("cannot remove {}: {error}", file.display()))
            })?;
        } else {
            write(&file, &kept)?;
        }
        for line in gone {
            output::line(format_args!("removed from {}: {line}", file.display()))?;
        }
    }
    Ok(())
}

fn alias(shell: Shell, program: &Path, agent: &str) -> String {
    let program = command_line(&[program.into()]);
    let value = command_line(&[format!("{program} preload --agent {agent} -- {agent}").into()]);
    let between = if shell == Shell::Fish { ' ' } else { '=' };
    format!("alias {agent}{between}{value}{MARK}{agent}")
}

/// The text without the alias of this agent.
fn without(text: &str, agent: &str) -> String {
    let end = format!("{MARK}{agent}");
    text.split_inclusive('\n').filter(|line| !line.trim_end().ends_with(&end)).collect()
}

/// This user's login shell.
fn of_user() -> Result<Shell, Failure> {
    let path = std::env::var_os("SHELL").map(PathBuf::from).unwrap_or_default();
    match path.file_name().and_then(|name| name.to_str()) {
        Some("bash") => Ok(Shell::Bash),
        Some("zsh") => Ok(Shell::Zsh),
        Some("fish") => Ok(Shell::Fish),
        _ => Err(Failure::usage("which shell is yours? Name it: --shell bash, zsh or fish")),
    }
}

/// The file that an interactive shell reads when it starts.
fn start_file(shell: Shell) -> Result<PathBuf, Failure> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let home = home.ok_or_else(|| Failure::new("your home directory is not known: set HOME"))?;
    let folder = |name: &str| std::env::var_os(name).filter(|folder| !folder.is_empty());
    let file = match shell {
        Shell::Bash => home.join(".bashrc"),
        Shell::Zsh => folder("ZDOTDIR").map_or(home, PathBuf::from).join(".zshrc"),
        Shell::Fish => {
            let configuration =
                folder("XDG_CONFIG_HOME").map_or(home.join(".config"), PathBuf::from);
            configuration.join("fish/config.fish")
        }
    };
    // Follow links: the file may be kept elsewhere, as with dotfiles.
    Ok(std::fs::canonicalize(&file).unwrap_or(file))
}

fn read(file: &Path) -> Result<String, Failure> {
    match text_file::read(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::new(format!("cannot read {}: {error}", file.display())))
        }
        text => Ok(text.unwrap_or_default()),
    }
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    replace(file, text.as_bytes(), 0o644).map_err(|error| {
        Failure::new(format!("cannot write {}: {error}; it is as it was", file.display()))
    })
}

/// Whether a person at the terminal says yes; `false` without a terminal.
fn is_confirmed() -> Result<bool, Failure> {
    let mut stdin = io::stdin().lock();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    output::text("Write it? [y/N] ")?;
    let mut answer = String::new();
    let read = stdin.read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}
