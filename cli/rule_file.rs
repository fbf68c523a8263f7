//! The file that `rampart allow` and `block` write rules to: the user's own policy, or the
//! project's.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use rampart_policy::{PolicySet, STARTER};

use crate::failure::Failure;
use crate::home::{Home, make_private_directory};
use crate::policy_file::{Files, compile};
use crate::spent_rules::SpentRules;
use crate::text_file;
use crate::whole_file::replace;

/// A new project policy, which restricts nothing yet.
const PROJECT_BEGIN: &str = "\
# What commands may not do in this project. It can only restrict what each one's own policy allows.
version: \"1\"
default_action: allow
policies: []
";
/// A new policy of the user's, beside others in the folder `policies`: without a default action, so
/// that theirs holds.
const BESIDE_BEGIN: &str = "\
# Rules of this user's own, beside those in the folder policies.
version: \"1\"
policies: []
";

/// A policy file that rules are written to.
#[derive(Debug)]
pub struct RuleFile {
    pub path: PathBuf,
    /// The path that servers know it by, which may be a link.
    name: PathBuf,
    pub text: String,
    /// What a file that does not exist yet begins as, for people.
    pub begins_as: Option<&'static str>,
    /// The project's folder, if it is a project's policy.
    pub project: Option<PathBuf>,
}

impl RuleFile {
    /// The policy of this user, or of the project that this directory is in.
    ///
    /// # Errors
    /// It exists and cannot be read.
    pub fn load(of_project: bool) -> Result<Self, Failure> {
        let home = Home::locate()?;
        if !of_project {
            if !Self::beside(&home)?.is_empty() {
                return Self::read(home.policy(), BESIDE_BEGIN, "new", None);
            }
            return Self::read(home.policy(), STARTER, "a copy of the starter policy", None);
        }
        let here = std::env::current_dir().map_err(|error| {
            Failure::new(format!("cannot tell which directory this is: {error}"))
        })?;
        let project = project(&here, &home).ok_or_else(|| {
            Failure::usage(format!(
                "{} is in no project, and its .rampart is your own: leave --project out, or change \
                 to the project's folder",
                here.display()
            ))
        })?;
        let path = project.join(".rampart/policy.yaml");
        Self::read(path, PROJECT_BEGIN, "new", Some(project.to_path_buf()))
    }

    /// The user's other policies, which are never written to: each text with its path.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn beside(home: &Home) -> Result<Vec<(String, PathBuf)>, Failure> {
        let own = home.policy();
        Files::new(None, home).read(|path| path != own)
    }

    fn read(
        path: PathBuf,
        begin: &str,
        begins_as: &'static str,
        project: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        // Follow links: the file may be kept elsewhere, as with dotfiles.
        let (name, path) = (path.clone(), std::fs::canonicalize(&path).unwrap_or(path));
        let (text, begins_as) = match text_file::read(&path) {
            Ok(text) => (text, None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (begin.to_owned(), Some(begins_as))
            }
            Err(error) => {
                let path = path.display();
                return Err(Failure::usage(format!("cannot read the policy {path}: {error}")));
            }
        };
        Ok(Self { path, name, text, begins_as, project })
    }

    /// The policies of this text in the place of its own, without rules that held once and are
    /// spent.
    ///
    /// # Errors
    /// It is not a policy.
    pub fn compiled_as(&self, text: &str) -> Result<PolicySet, String> {
        let policies = compile(text, &self.name)?;
        if let Ok(home) = Home::locate() {
            SpentRules::of(&home).keep(policies.memory());
        }
        Ok(policies)
    }

    /// Replaces the file, unless it has changed since it was read; returns whether it did. Two
    /// writers at once cannot lose each other's rules.
    ///
    /// # Errors
    /// The file cannot be written; it stays as it was.
    pub fn write(&self, text: &str) -> Result<bool, Failure> {
        let failed = |error: io::Error| {
            Failure::new(format!(
                "cannot write the policy {}: {error}; it is as it was",
                self.path.display()
            ))
        };
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        make_private_directory(directory).map_err(failed)?;
        let directory = File::open(directory).map_err(failed)?;
        let _held = Flock::lock(directory, FlockArg::LockExclusive)
            .map_err(|(_, error)| failed(error.into()))?;
        let is_same = match text_file::read(&self.path) {
            Ok(now) => self.begins_as.is_none() && now == self.text,
            Err(error) => self.begins_as.is_some() && error.kind() == io::ErrorKind::NotFound,
        };
        if is_same {
            replace(&self.path, text.as_bytes(), 0o600).map_err(failed)?;
        }
        Ok(is_same)
    }
}

/// The project folder of `here`: the nearest with a `.rampart/policy.yaml`, otherwise the root of
/// the Git work tree, otherwise `here` itself. The user's own `.rampart` is no project's.
fn project<'h>(here: &'h Path, home: &Home) -> Option<&'h Path> {
    let folders = || here.ancestors().filter(|folder| !home.owns(&folder.join(".rampart")));
    let with = |name: &str| folders().find(|folder| folder.join(name).exists());
    with(".rampart/policy.yaml")
        .or_else(|| with(".git"))
        .or_else(|| folders().find(|it| *it == here))
}
