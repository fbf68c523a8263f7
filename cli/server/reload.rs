//! Takes over a policy file when it changes, and keeps the old policy where the
//! new text is not one.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use rampart_policy::PolicySet;

use crate::audit::Audit;
use crate::policy_file::{InForce, Origin, compile};

/// How long a look at the file is good for.
const INTERVAL: Duration = Duration::from_millis(100);
/// A file this young may still be written to: it is left alone for the moment.
const SETTLING: Duration = Duration::from_millis(50);

/// What changes when a file does.
type Fingerprint = (u64, u64, u64, i64, i64, i64, i64);

/// The policy in force, and the file that it follows.
pub struct Reload {
    policies: PolicySet,
    name: String,
    source: String,
    file: PathBuf,
    seen: Option<Fingerprint>,
    /// The file is not there, and that is known or was said.
    missing: bool,
    looked: Instant,
}

impl Reload {
    /// Starts from a policy that was just loaded.
    pub fn new(policy: InForce, now: Instant) -> Self {
        let InForce { policies, source, origin, file } = policy;
        Self {
            policies,
            name: origin.to_string(),
            source,
            file,
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
        if now.saturating_duration_since(self.looked) < INTERVAL {
            return;
        }
        self.looked = now;
        match std::fs::metadata(&self.file) {
            Ok(metadata) => {
                self.missing = false;
                let fingerprint = fingerprint(&metadata);
                if metadata.is_file() && self.seen != Some(fingerprint) && settled(&metadata) {
                    self.seen = Some(fingerprint);
                    self.take_over(audit);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.missing => {
                self.missing = true;
                self.seen = None;
                let file = self.file.display();
                audit.event(
                    "policy-missing",
                    &format!("the policy {file} is gone; the old one stays"),
                );
            }
            Err(_) => {}
        }
    }

    fn take_over(&mut self, audit: &mut Audit) {
        let file = self.file.display();
        let compiled = std::fs::read_to_string(&self.file)
            .map_err(|error| format!("cannot read {file}: {error}"))
            .and_then(|source| {
                if source == self.source {
                    return Ok(None);
                }
                compile(&source, &self.file).map(|policies| Some((policies, source)))
            });
        match compiled {
            Ok(None) => {}
            Ok(Some((policies, source))) => {
                self.policies = policies;
                self.source = source;
                self.name = file.to_string();
                audit.event("policy-reloaded", &format!("the policy {file} was read anew"));
            }
            Err(fault) => {
                let message =
                    format!("the changed policy is not taken, the old one stays: {fault}");
                audit.event("policy-refused", &message);
            }
        }
    }
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
