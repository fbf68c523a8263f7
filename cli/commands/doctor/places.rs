//! Checks Rampart's files: that they exist, can be used, and cannot be changed or read by others.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, geteuid};

use super::Check;
use crate::audit::is_disk_full;
use crate::home::Home;
use crate::library;
use crate::policy_file::{InForce, Origin, warnings};
use crate::token::Token;

const OTHERS_MAY_WRITE: u32 = 0o022;
const OTHERS_MAY_DO_ANYTHING: u32 = 0o077;
const ROOT: u32 = 0;

pub fn checks(home: &Home) -> Vec<Check> {
    let mut checks = vec![directory(home)];
    checks.extend(audit(home));
    checks.push(token(home));
    checks.extend(policy(home));
    checks.extend(library(home));
    checks
}

fn directory(home: &Home) -> Check {
    let path = home.directory();
    let shown = path.display();
    let Ok(metadata) = path.metadata() else {
        let text = format!("there is no {shown}");
        return Check::warning("home", text, "run `rampart setup`");
    };
    if let Some(check) = changeable("home", path, "700") {
        return check;
    }
    if metadata.mode() & OTHERS_MAY_DO_ANYTHING != 0 {
        let text = format!("others can look into {shown}");
        return Check::warning("home", text, format!("run `chmod 700 {shown}`"));
    }
    Check::ok("home", shown.to_string())
}

/// A problem that keeps the audit from being written, if there is one.
fn audit(home: &Home) -> Option<Check> {
    let path = home.audit();
    // The file and its directory are created when first needed.
    let place = path.ancestors().find(|place| place.exists())?;
    let shown = path.display();
    let advice = "fix that, or set RAMPART_HOME to another directory: decisions are not recorded";
    let is_usable = place == path || place.is_dir();
    let usable = if is_usable { access(place, AccessFlags::W_OK) } else { Err(Errno::ENOTDIR) };
    if let Err(error) = usable {
        let text = format!("the audit {shown} cannot be written: {}", error.desc());
        return Some(Check::problem("audit", text, advice));
    }
    let text = format!("the disk of the audit {shown} is full");
    is_disk_full(place).then(|| Check::problem("audit", text, advice))
}

fn token(home: &Home) -> Check {
    let path = home.token();
    let shown = path.display();
    let Ok(metadata) = path.metadata() else {
        return Check::ok("token", "none: a server that is started for a run makes its own");
    };
    if metadata.mode() & OTHERS_MAY_DO_ANYTHING != 0 {
        let text = format!("others can read the token file {shown}");
        return Check::problem("token", text, format!("run `chmod 600 {shown}`"));
    }
    match Token::read(&path) {
        Ok(_) => Check::ok("token", shown.to_string()),
        Err(failure) => {
            let advice = "remove the file, and run `rampart setup`, which makes a new one";
            Check::problem("token", failure.sentence(), advice)
        }
    }
}

fn policy(home: &Home) -> Vec<Check> {
    let policy = match InForce::load(None, home) {
        Ok(policy) => policy,
        Err(failure) => return vec![Check::failure("policy", &failure)],
    };
    let Origin::File(path, _) = &policy.origin else {
        return vec![Check::ok("policy", "none of your own: the built-in starter is in force")];
    };
    let shown = path.display();
    let mut checks = Vec::new();
    let is_safe = || Check::ok("policy", shown.to_string());
    checks.push(changeable("policy", path, "go-w").unwrap_or_else(is_safe));
    let found = warnings(&policy.policies, path).map(|text| text.replacen(" warning:", "", 1));
    checks.extend(found.map(|text| Check { advice: None, ..Check::warning("policy", text, "") }));
    checks
}

fn library(home: &Home) -> Vec<Check> {
    let path = match library::find(home) {
        Ok(path) => path,
        Err(failure) => return vec![Check::failure("library", &failure)],
    };
    let shown = path.display();
    let mut checks = Vec::new();
    let is_safe = || Check::ok("library", shown.to_string());
    checks.push(changeable("library", &path, "go-w").unwrap_or_else(is_safe));
    if !library::can_be_listed(&path) {
        let text = format!(
            "the library cannot be preloaded from {shown}: the path has a blank, a colon or a \
             dollar sign"
        );
        let advice = "put it elsewhere and set RAMPART_LIBRARY; as it is, only runs with their \
            own server can use it";
        checks.push(Check::warning("library", text, advice));
    }
    checks
}

/// The problem, if others can change a file; with these rights they could not.
fn changeable(about: &'static str, path: &Path, rights: &str) -> Option<Check> {
    let metadata = path.metadata().ok()?;
    let shown = path.display();
    if ![ROOT, geteuid().as_raw()].contains(&metadata.uid()) {
        let text = format!("{shown} belongs to somebody else, who can change it");
        let advice = format!("remove it, or have root run `chown {} {shown}`", geteuid());
        return Some(Check::problem(about, text, advice));
    }
    let text = format!("others can change {shown}");
    let advice = format!("run `chmod {rights} {shown}` as its owner");
    (metadata.mode() & OTHERS_MAY_WRITE != 0).then(|| Check::problem(about, text, advice))
}
