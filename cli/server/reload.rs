//! Takes over a policy file when it changes, and keeps the old policy where the
//! new text is not one.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::Uid;
use rampart_policy::PolicySet;

use crate::audit::Audit;
use crate::owner;
use crate::policy_file::{InForce, Origin, compile};

/// How long a look at the file is good for.
const INTERVAL: Duration = Duration::from_millis(100);
/// A file this young may still be written to: it is left alone for the moment.
const SETTLING: Duration = Duration::from_millis(50);

/// What is said of a text that the policy engine fails on.
const FAULT: &str = "the policy engine failed on this text; please report it with the file";

/// What changes when a file does.
type Fingerprint = (u64, u64, u64, i64, i64, i64, i64);

/// The policy in force, and the file that it follows, if it follows one.
pub struct Reload {
    policies: PolicySet,
    name: String,
    source: String,
    file: Option<PathBuf>,
    seen: Option<Fingerprint>,
    /// The file is not there, and that is known or was said.
    missing: bool,
    looked: Instant,
}

impl Reload {
    /// Keeps to a policy that was just loaded, whatever becomes of its file: whom it is about
    /// may be able to write to that.
    pub fn never(policy: InForce, now: Instant) -> Self {
        Self { file: None, ..Self::new(policy, now) }
    }

    /// Starts from a policy that was just loaded.
    pub fn new(policy: InForce, now: Instant) -> Self {
        let InForce { policies, source, origin, file } = policy;
        Self {
            policies,
            name: origin.to_string(),
            source,
            file: Some(file),
            // Not what `stat` says now: the file may have changed since it was read.
            seen: None,
            missing: origin == Origin::Starter,
            looked: now,
        }
    }

    /// The policy in force.
    pub fn policies(&self) -> &PolicySet {
        &self.policies
    }

    /// Where it is from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Looks whether the file has changed, unless that was done a moment ago.
    pub fn look(&mut self, now: Instant, audit: &mut Audit) {
        let Some(file) = self.file.clone() else { return };
        if now.saturating_duration_since(self.looked) < INTERVAL {
            return;
        }
        self.looked = now;
        match std::fs::metadata(&file) {
            Ok(metadata) => {
                self.missing = false;
                let fingerprint = fingerprint(&metadata);
                if metadata.is_file() && self.seen != Some(fingerprint) && settled(&metadata) {
                    self.seen = Some(fingerprint);
                    self.take_over(&file, audit);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.missing => {
                self.missing = true;
                self.seen = None;
                let message = format!("the policy {} is gone; the old one stays", file.display());
                audit.event("policy-missing", &message);
            }
            Err(_) => {}
        }
    }

    fn take_over(&mut self, file: &Path, audit: &mut Audit) {
        let compiled = read(file).and_then(|(source, owner)| {
            if source == self.source {
                return Ok(None);
            }
            let compiled = catch_unwind(|| compile(&source, file));
            let compiled = compiled.unwrap_or_else(|_| Err(FAULT.to_owned()));
            compiled.map(|policies| Some((policies, source, owner)))
        });
        match compiled {
            Ok(None) => {}
            Ok(Some((policies, source, owner))) => {
                // What was counted and is spent stays so.
                self.policies = policies.remembering(Arc::clone(self.policies.memory()));
                self.source = source;
                self.name = file.display().to_string();
                let (file, owner) = (file.display(), owner::name(owner));
                let message = format!("the policy {file} was read anew; it is {owner}'s");
                audit.event("policy-reloaded", &message);
            }
            Err(fault) => {
                let message =
                    format!("the changed policy is not taken, the old one stays: {fault}");
                audit.event("policy-refused", &message);
            }
        }
    }
}

/// The text of a policy that nobody else may write to, and whose it is.
fn read(path: &Path) -> Result<(String, Uid), String> {
    let shown = path.display();
    let cannot = |error| format!("cannot read {shown}: {error}");
    let mut file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if let Some(who) = owner::other_writers(&metadata) {
        return Err(format!(
            "{shown} can be written by {who}: run `chmod go-w {shown}`, or make it yours"
        ));
    }
    let mut source = String::new();
    file.read_to_string(&mut source).map_err(cannot)?;
    Ok((source, Uid::from_raw(metadata.uid())))
}

fn fingerprint(file: &Metadata) -> Fingerprint {
    let changed = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
    (file.dev(), file.ino(), file.size(), changed.0, changed.1, changed.2, changed.3)
}

/// Whether the last write is a moment ago. A time in the future says nothing.
fn settled(file: &Metadata) -> bool {
    let modified = file.modified().ok();
    let age = modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_none_or(|age| age >= SETTLING)
}
