//! `rampart setup`: installs the library, a token and a policy.

use std::fs::{self, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::{Args, ValueEnum};
use rampart_policy::STARTER;

use crate::command_line::command_line;
use crate::failure::Failure;
use crate::home::{Home, keep_private, make_private_directory};
use crate::library;
use crate::output;
use crate::run::environment::refuse_guarded;
use crate::text_file;
use crate::token::Token;
use crate::whole_file::{create, replace};

mod wrapper;

const EXAMPLES: &str = "\
Examples:
  rampart setup
  rampart setup --shell bash >> ~/.bashrc
  rampart setup --agent codex        `codex` is guarded whenever you type it
  rampart setup --remove
  RAMPART_LIBRARY=target/preload/librampart.so rampart setup

It can be run again at any time: it replaces the library by the one that came with this program
(or the one in RAMPART_LIBRARY), and keeps an existing token and policy. Running programs keep
the old library. If no library came with this program, as with `cargo install`, it is built from
the program's source.";

/// Install the library, a token and a starter policy in ~/.rampart
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Only print the lines for this shell's start file. With --agent: the shell to add the alias
    /// to
    #[arg(long, value_enum, value_name = "SHELL")]
    shell: Option<Shell>,
    /// Guard this agent whenever you type its name, by an alias in your shell's start file
    #[arg(long, value_name = "NAME", value_parser = wrapper::name)]
    agent: Option<String>,
    /// Write the alias without asking
    #[arg(long, requires = "agent")]
    yes: bool,
    /// Remove what setup installed; what you wrote yourself stays
    #[arg(long, conflicts_with_all = ["shell", "agent"])]
    remove: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Runs the subcommand, and says what was done.
///
/// # Errors
/// There is no library to install, or a file cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match (&arguments.agent, arguments.shell) {
        _ if arguments.remove => remove(&Home::locate()?),
        (Some(agent), shell) => wrapper::add(agent, shell, arguments.yes),
        (None, Some(shell)) => output::line(shell_lines(shell)?),
        (None, None) => install(&Home::locate()?),
    }
}

/// Creates what is missing, and keeps what exists.
///
/// # Errors
/// There is no library to install, or a file cannot be written.
pub fn install(home: &Home) -> Result<(), Failure> {
    // It would replace the library of later runs.
    refuse_guarded("setup")?;
    let library = library::find_to_install(home)?;
    let private = |directory: &Path| {
        make_private_directory(directory).and_then(|()| keep_private(directory)).map_err(|error| {
            let directory = directory.display();
            Failure::new(format!("cannot make {directory} a directory of your own: {error}"))
        })
    };
    private(home.directory())?;
    private(&home.libraries())?;
    let installed = home.libraries().join(library::file_name());
    let changed = install_library(&library, &installed).map_err(|error| {
        Failure::new(format!("cannot install the library as {}: {error}", installed.display()))
    })?;
    tell(changed, "installed", "library", &installed)?;
    tell(make_token(&home.token())?, "made", "token", &home.token())?;
    let is_new = write_policy(&home.policy())?;
    tell(is_new, "wrote", if is_new { "starter policy" } else { "policy" }, &home.policy())?;
    output::line("Try it: rampart preload -- sh -c 'echo guarded'")
}

fn tell(changed: bool, done: &str, what: &str, path: &Path) -> Result<(), Failure> {
    let path = path.display();
    if changed {
        output::line(format_args!("{done} the {what} {path}"))
    } else {
        output::line(format_args!("kept the {what} {path}"))
    }
}

/// Removes what [`install`] created, unless it was changed.
fn remove(home: &Home) -> Result<(), Failure> {
    refuse_guarded("setup --remove")?;
    wrapper::remove()?;
    let library = home.libraries().join(library::file_name());
    take_away("library", &library, true)?;
    take_away("token", &home.token(), true)?;
    let policy = home.policy();
    let is_starter = text_file::read(&policy).is_ok_and(|text| text == STARTER);
    take_away("policy", &policy, is_starter)?;
    if home.audit().exists() {
        output::line(format_args!("kept the audit {}", home.audit().display()))?;
    }
    for directory in [home.libraries(), home.runs(), home.directory().to_path_buf()] {
        // Fails for a directory that is not empty, which stays.
        let _ = fs::remove_dir(directory);
    }
    output::line("Runs that are under way keep their library.")
}

fn take_away(what: &str, path: &Path, is_ours: bool) -> Result<(), Failure> {
    if !is_ours {
        return if path.exists() {
            output::line(format_args!("kept the {what} {}, which you have changed", path.display()))
        } else {
            Ok(())
        };
    }
    match fs::remove_file(path) {
        Ok(()) => output::line(format_args!("removed the {what} {}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            Err(Failure::new(format!("cannot remove the {what} {}: {error}", path.display())))
        }
    }
}

/// Copies the library, unless it is the same; returns whether it did.
fn install_library(from: &Path, to: &Path) -> io::Result<bool> {
    let bytes = fs::read(from)?;
    let mut old = Vec::new();
    if text_file::open(to).and_then(|mut file| file.read_to_end(&mut old)).is_ok() && old == bytes {
        return Ok(false);
    }
    replace(to, &bytes, 0o755).map(|()| true)
}

fn make_token(path: &Path) -> Result<bool, Failure> {
    // Made private first, rather than only warned about.
    let _ = fs::set_permissions(path, Permissions::from_mode(0o600));
    if Token::read_if_there(path)?.is_some() {
        return Ok(false);
    }
    Token::random()?.save(path)
}

fn write_policy(path: &Path) -> Result<bool, Failure> {
    create(path, STARTER.as_bytes(), 0o600).map_err(|error| {
        Failure::new(format!("cannot write the policy {}: {error}", path.display()))
    })
}

/// The lines for a shell's start file: PATH and completions.
fn shell_lines(shell: Shell) -> Result<String, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot tell where this program is: {error}")))?;
    let directory = program.parent().unwrap_or(Path::new("/")).as_os_str().to_owned();
    let directory = command_line(&[directory]);
    let path = match shell {
        Shell::Bash | Shell::Zsh => format!("export PATH={directory}:\"$PATH\""),
        Shell::Fish => format!("fish_add_path {directory}"),
    };
    let completions = match shell {
        Shell::Bash => "source <(rampart completions bash)",
        Shell::Zsh => "source <(rampart completions zsh)",
        Shell::Fish => "rampart completions fish | source",
    };
    Ok(format!(
        "{path}\n{completions}\n# To guard an agent whenever you start it: rampart setup --agent claude"
    ))
}
