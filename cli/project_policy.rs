//! A project's `.rampart/policy.yaml`, in the command's working directory or one above it. It may
//! only restrict.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rampart_policy::PolicySet;

use crate::failure::Failure;
use crate::home::Home;
use crate::policy_file::{InForce, compile};
use crate::spent_rules::SpentRules;
use crate::text_file;

/// How long a directory's policies are cached.
const KNOWN_FOR: Duration = Duration::from_millis(500);
/// For how many directories they are cached.
const MAX_KNOWN: usize = 256;

/// The policy as a server judges by it in the directory `here`: restricted by the projects that this
/// is in, and without rules that held once and are spent. `named` is as for [`InForce::load`].
///
/// # Errors
/// As [`InForce::load`].
pub fn in_force(
    named: Option<&Path>,
    here: Option<&Path>,
    home: &Home,
) -> Result<InForce, Failure> {
    let mut policy = InForce::load(named, home)?;
    if let Some(here) = here {
        policy.policies = restrict(policy.policies, here, home);
    }
    SpentRules::of(home).keep(policy.policies.memory());
    Ok(policy)
}

/// The policies, restricted by the projects that `here` is in. A project policy that cannot be read
/// refuses everything.
pub fn restrict(policies: PolicySet, here: &Path, home: &Home) -> PolicySet {
    apply(policies, &read(here, home))
}

type Project = Result<PolicySet, String>;

fn apply(policies: PolicySet, projects: &[Project]) -> PolicySet {
    projects.iter().fold(policies, |policies, project| match project {
        Ok(project) => policies.restricted_by(project),
        Err(why) => policies.refusing(why),
    })
}

/// The policies of the projects that `here` is in, the nearest first.
fn read(here: &Path, home: &Home) -> Vec<Project> {
    let folders = here.ancestors().map(|folder| folder.join(".rampart"));
    folders
        .filter_map(|folder| {
            let file = folder.join("policy.yaml");
            match text_file::read(&file) {
                Err(error) if is_absence(&error) => None,
                _ if home.owns(&folder) => None,
                Ok(source) => Some(compile(&source, &file)),
                Err(error) => Some(Err(format!("cannot read {}: {error}", file.display()))),
            }
        })
        .collect()
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Project policies, cached for a server that is asked from many directories.
#[derive(Debug)]
pub struct Projects {
    home: Home,
    known: Mutex<HashMap<PathBuf, (Instant, Vec<Project>)>>,
}

impl Projects {
    pub fn new(home: Home) -> Self {
        Self { home, known: Mutex::default() }
    }

    /// The policies, restricted by the projects that a command's working directory is in.
    pub fn restrict(&self, policies: PolicySet, here: Option<&str>) -> PolicySet {
        let Some(here) = here.map(Path::new).filter(|here| here.is_absolute()) else {
            return policies;
        };
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, projects)) = known.get(here)
            && now.saturating_duration_since(*when) < KNOWN_FOR
        {
            return apply(policies, projects);
        }
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        let projects = read(here, &self.home);
        let restricted = apply(policies, &projects);
        known.insert(here.to_path_buf(), (now, projects));
        restricted
    }
}
