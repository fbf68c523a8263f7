//! `rampart completions` and `rampart man`: made from the same definitions as `--help`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::failure::Failure;
use crate::output;

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(rampart completions bash)                       # in ~/.bashrc
  rampart completions zsh > ~/.zfunc/_rampart              # a folder of $fpath
  rampart completions fish > ~/.config/fish/completions/rampart.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  rampart man | man -l -                    # read it
  rampart man --dir ~/.local/share/man/man1 # a page for each command";

/// Write completions for a shell
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the manual page
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub struct Manual {
    /// Write a page for each command into this folder instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes the completions of this command.
///
/// # Errors
/// They cannot be written.
pub fn completions(arguments: &Completions, command: &Command) -> Result<(), Failure> {
    // Hidden subcommands would be offered too.
    let shown = command.get_subcommands().filter(|each| !each.is_hide_set()).cloned();
    let mut shown = Command::new("rampart").version(env!("CARGO_PKG_VERSION")).subcommands(shown);
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut shown, "rampart", &mut text);
    output::text(&String::from_utf8_lossy(&text)).map(drop)
}

/// Writes the manual of this command.
///
/// # Errors
/// It cannot be written.
pub fn manual(arguments: &Manual, mut command: Command) -> Result<(), Failure> {
    command.build();
    let Some(directory) = &arguments.dir else {
        let page = page(command)
            .map_err(|error| Failure::new(format!("cannot write the manual: {error}")))?;
        return output::text(&String::from_utf8_lossy(&page)).map(drop);
    };
    write_pages(&command, directory)
}

fn write_pages(command: &Command, directory: &Path) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let file = directory.join(format!("{name}.1"));
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::File::create(&file)?.write_all(&page(command.clone())?));
    written.map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
    let others =
        command.get_subcommands().filter(|each| each.get_name() != "help" && !each.is_hide_set());
    others.into_iter().try_for_each(|each| write_pages(each, directory))
}

fn page(command: Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}
