//! `rampart doctor --fix`: fixes what needs no decision. Removes others' rights to this user's
//! files, and creates what `rampart setup` would. Never changes what a person wrote.

use std::fs::{Permissions, metadata, set_permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use nix::unistd::geteuid;

use crate::commands::setup;
use crate::failure::{Failure, say};
use crate::home::Home;
use crate::library;
use crate::run::environment::refuse_guarded;

/// Fixes what it can, and says what it did.
///
/// # Errors
/// This process is guarded.
pub fn run(home: &Home) -> Result<(), Failure> {
    refuse_guarded("doctor --fix")?;
    let library = home.libraries().join(library::file_name());
    for (path, kept) in [
        (home.directory(), 0o700),
        (&*home.libraries(), 0o755),
        (&*library, 0o755),
        (&*home.policy(), 0o644),
        (&*home.token(), 0o600),
        (&*home.audit(), 0o600),
    ] {
        take_rights(path, kept);
    }
    let made = [&*library, &*home.token(), &*home.policy()];
    let is_missing = made.iter().any(|path| !path.exists()) || library::find(home).is_err();
    // The checks that follow report what is still wrong.
    if is_missing && let Err(failure) = setup::install(home) {
        say(failure.sentence());
    }
    Ok(())
}

/// Restricts a file of this user to at most these rights.
fn take_rights(path: &Path, kept: u32) {
    let Ok(facts) = metadata(path) else { return };
    let mode = facts.mode() & 0o7777;
    if mode & !kept == 0 || facts.uid() != geteuid().as_raw() {
        return;
    }
    match set_permissions(path, Permissions::from_mode(mode & kept)) {
        Ok(()) => say(format!("{}: others' rights taken away", path.display())),
        Err(error) => say(format!("{}: {error}", path.display())),
    }
}
