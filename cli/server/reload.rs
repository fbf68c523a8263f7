//! Reloads policy files when they change. If the new text is not a policy, the old one stays in
//! force.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::Uid;
use rampart_policy::PolicySet;

use crate::audit::Audit;
use crate::owner;
use crate::policy_file::{Files, InForce, Origin, compile_all, joined};
use crate::project_policy::Projects;
use crate::spent_rules::SpentRules;
use crate::text_file;

/// How often the files are checked at most.
const INTERVAL: Duration = Duration::from_millis(100);
/// A file changed more recently than this may still be written to, and is left for the next check.
const SETTLING: Duration = Duration::from_millis(50);

/// The message if the policy engine panics on the new text.
const FAULT: &str = "the policy engine failed on this text; please report it with the file";

/// Metadata that changes whenever a file does.
type Fingerprint = (u64, u64, u64, i64, i64, i64, i64);

/// The policy in force, and the files it is reloaded from, if any.
pub struct Reload {
    policies: PolicySet,
    name: String,
    source: String,
    files: Option<Files>,
    /// The files that the policy in force came from.
    from: Vec<PathBuf>,
    seen: Vec<(PathBuf, Fingerprint)>,
    /// A file is missing, and that was reported.
    missing: bool,
    /// What keeps the files from being read, and was reported.
    in_the_way: Option<String>,
    looked: Instant,
    projects: Option<Arc<Projects>>,
    spent: Arc<SpentRules>,
}

impl Reload {
    /// Keeps a loaded policy whatever happens to its files: the guarded processes may be able to
    /// write to them.
    pub fn never(policy: InForce, now: Instant) -> Self {
        Self { files: None, projects: None, ..Self::new(policy, now) }
    }

    /// Follows the files of a policy that was just loaded.
    pub fn new(policy: InForce, now: Instant) -> Self {
        let InForce { policies, source, origin, files, home } = policy;
        let spent = SpentRules::of(&home);
        spent.keep(policies.memory());
        Self {
            policies,
            name: origin.to_string(),
            source,
            // No fingerprints yet: a file may have changed since it was read.
            from: if origin == Origin::Starter {
                Vec::new()
            } else {
                files.there().unwrap_or_default()
            },
            files: Some(files),
            seen: Vec::new(),
            missing: false,
            in_the_way: None,
            looked: now,
            projects: Some(Arc::new(Projects::new(home))),
            spent: Arc::new(spent),
        }
    }

    /// The policy in force.
    pub fn policies(&self) -> &PolicySet {
        &self.policies
    }

    /// The projects' policies, if commands may run in different projects.
    pub fn projects(&self) -> Option<Arc<Projects>> {
        self.projects.clone()
    }

    /// The record of spent rules.
    pub fn spent(&self) -> Arc<SpentRules> {
        Arc::clone(&self.spent)
    }

    /// Where the policy came from, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks whether a file has changed, unless that was done a moment ago.
    pub fn look(&mut self, now: Instant, audit: &Audit) {
        if now.saturating_duration_since(self.looked) < INTERVAL {
            return;
        }
        self.looked = now;
        self.spent.keep(self.policies.memory());
        let Some(files) = &self.files else { return };
        let there = match files.there() {
            Ok(there) => there,
            Err(error) => return self.refuse(&format!("cannot list the policies: {error}"), audit),
        };
        let may_be_a_pipe = files.is_named();
        let is_gone = |file: &&PathBuf| {
            std::fs::metadata(file).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        if let Some(file) = self.from.iter().find(is_gone) {
            if !self.missing {
                let message = format!("the policy {} is gone; the old one stays", file.display());
                audit.event("policy-missing", &message);
            }
            self.missing = true;
            self.seen.clear();
            return;
        }
        self.missing = false;
        let mut facts = Vec::with_capacity(there.len());
        for file in there {
            let metadata = match std::fs::metadata(&file) {
                Ok(metadata) => metadata,
                // It was just removed. A link that leads nowhere stays.
                Err(_) if file.symlink_metadata().is_err() => return,
                Err(error) => {
                    return self.refuse(&format!("cannot read {}: {error}", file.display()), audit);
                }
            };
            if !metadata.is_file() {
                // A pipe is read once.
                if !may_be_a_pipe {
                    let why = format!("{} is not a regular file", file.display());
                    self.refuse(&why, audit);
                }
                return;
            }
            if !settled(&metadata) {
                return;
            }
            facts.push((file, fingerprint(&metadata)));
        }
        self.in_the_way = None;
        if !facts.is_empty() && self.seen != facts {
            let files: Vec<PathBuf> = facts.iter().map(|(file, _)| file.clone()).collect();
            self.seen = facts;
            self.take_over(files, audit);
        }
    }

    fn take_over(&mut self, files: Vec<PathBuf>, audit: &Audit) {
        let read = || {
            let mut sources = Vec::new();
            let mut owners = Vec::new();
            for file in files {
                let (source, owner) = read(&file)?;
                owners.push(owner::name(owner));
                sources.push((source, file));
            }
            Ok((sources, owners))
        };
        let compiled = read().and_then(|(sources, owners)| {
            if joined(&sources) == self.source {
                return Ok(None);
            }
            let compiled = catch_unwind(|| compile_all(&sources).inspect(PolicySet::compile));
            let compiled = compiled.unwrap_or_else(|_| Err(FAULT.to_owned()));
            compiled.map(|policies| Some((policies, sources, owners)))
        });
        match compiled {
            Ok(None) => {}
            Ok(Some((policies, sources, mut owners))) => {
                // Counters and spent rules carry over.
                self.policies = policies.remembering(Arc::clone(self.policies.memory()));
                self.source = joined(&sources);
                self.from = sources.into_iter().map(|(_, file)| file).collect();
                let first = self.from.first().cloned().unwrap_or_default();
                self.name = Origin::File(first, self.from.len().saturating_sub(1)).to_string();
                owners.dedup();
                let (name, owners) = (&self.name, owners.join(" and "));
                let message = format!("the policy {name} was reloaded; it belongs to {owners}");
                audit.event("policy-reloaded", &message);
            }
            Err(fault) => refused(&fault, audit),
        }
    }

    /// Reports once what is in the way of reading the files.
    fn refuse(&mut self, why: &str, audit: &Audit) {
        if self.in_the_way.as_deref() != Some(why) {
            refused(why, audit);
            self.in_the_way = Some(why.to_owned());
        }
    }
}

fn refused(why: &str, audit: &Audit) {
    let message = format!("the changed policy is not taken, and the old one stays: {why}");
    audit.event("policy-refused", &message);
}

/// The text and the owner of a policy file. Fails if others may write to it.
fn read(path: &Path) -> Result<(String, Uid), String> {
    let shown = path.display();
    let cannot = |error| format!("cannot read {shown}: {error}");
    let file = text_file::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if let Some(who) = owner::other_writers(&metadata) {
        return Err(format!(
            "{shown} can be written by {who}: run `chmod go-w {shown}`, or make it yours"
        ));
    }
    let source = text_file::whole(file).map_err(cannot)?;
    Ok((source, Uid::from_raw(metadata.uid())))
}

fn fingerprint(file: &Metadata) -> Fingerprint {
    let changed = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
    (file.dev(), file.ino(), file.size(), changed.0, changed.1, changed.2, changed.3)
}

/// Whether the last write was some time ago. A time in the future is ignored.
fn settled(file: &Metadata) -> bool {
    let modified = file.modified().ok();
    let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_none_or(|age| age >= SETTLING)
}
