//! The policy in force: from the file that a flag names, from the user's own
//! file, or the one that is built in.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rampart_policy::{Action, Decision, PolicySet, Problem, STARTER};

use crate::command_line::how_to_allow;
use crate::failure::Failure;
use crate::home::Home;

/// A policy, and where it came from.
pub struct InForce {
    /// The compiled policy.
    pub policies: PolicySet,
    /// Its text.
    pub source: String,
    /// Where the text is from.
    pub origin: Origin,
    /// The file whose changes are to be taken over; it need not exist.
    pub file: PathBuf,
}

/// Where a policy is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// The program itself.
    Starter,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Starter => f.write_str("the built-in starter"),
        }
    }
}

impl InForce {
    /// Loads the named policy, else `~/.rampart/policy.yaml`, else the starter.
    ///
    /// # Errors
    /// The file cannot be read, or is not a policy.
    pub fn load(named: Option<&Path>, home: &Home) -> Result<Self, Failure> {
        let file = named.map_or_else(|| home.policy(), Path::to_path_buf);
        let file = std::path::absolute(&file).unwrap_or(file);
        match std::fs::read_to_string(&file) {
            Ok(source) => {
                let policies = compile(&source, &file).map_err(Failure::usage)?;
                Ok(Self { policies, source, origin: Origin::File(file.clone()), file })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(Self {
                policies: PolicySet::starter(),
                source: STARTER.to_owned(),
                origin: Origin::Starter,
                file,
            }),
            Err(error) => {
                Err(Failure::usage(format!("cannot read the policy {}: {error}", file.display())))
            }
        }
    }
}

/// Compiles a policy's text; what is wrong with it comes as lines that name
/// file, line and column.
///
/// # Errors
/// The text is not a policy.
pub fn compile(source: &str, file: &Path) -> Result<PolicySet, String> {
    PolicySet::parse(source, &file.to_string_lossy()).map_err(|error| error.to_string())
}

/// What looks wrong in a policy that can be used, a line each.
pub fn warnings(policies: &PolicySet, file: &Path) -> impl Iterator<Item = String> {
    policies.warnings().iter().map(move |Problem { line, column, text }| {
        format!("{}:{line}:{column}: warning: {text}", file.display())
    })
}

/// The library shows no more of a suggestion.
const SHOWN_BYTES: usize = 160;

/// How a person would allow what was refused, in words that end the sentence "the user can allow
/// it: …". The library shows it, and cuts it after 160 bytes: the file stands last.
pub fn suggestion(policies: &PolicySet, decision: &Decision, command: &str) -> Option<String> {
    let what = match &decision.because {
        _ if decision.allowed() => return None,
        Some(because) => format!("rule {} of policy {}", because.rule, because.policy),
        None if policies.default_action() == Action::Deny => "default_action".to_owned(),
        None => return None,
    };
    // What `rampart allow` writes to.
    let own = Home::locate()
        .is_ok_and(|home| policies.origin().is_none_or(|file| home.policy() == Path::new(file)));
    let how = how_to_allow(command).map(|how| format!("`{how}`, and a new run"));
    if let Some(how) = how.filter(|how| own && how.len() <= SHOWN_BYTES) {
        return Some(how);
    }
    Some(match policies.origin() {
        Some(file) => format!("in a new run, with {what} changed in {file}"),
        None => format!(
            "in a new run, with {what} (`rampart policy show`) changed in ~/.rampart/policy.yaml"
        ),
    })
}

#[cfg(test)]
mod tests {
    use rampart_policy::{Call, PolicySet};

    use super::suggestion;

    const POLICY: &str = "version: \"1\"\ndefault_action: deny\npolicies:\n  - name: p\n    \
        match: {tool: exec}\n    rules:\n      - action: allow\n        \
        when: {command_matches: [ls]}\n      - action: deny\n        \
        when: {command_matches: [\"rm *\"]}\n";

    #[test]
    fn what_is_refused_has_a_rule_to_change_and_a_file_that_it_stands_in() {
        let policies = PolicySet::parse(POLICY, "/p/policy.yaml").expect("a policy");
        let of = |policies: &PolicySet, command: &str| {
            let call = Call { agent: "", session: "", command, ..Call::default() };
            suggestion(policies, &policies.evaluate(&call), command)
        };
        assert_eq!(of(&policies, "ls"), None);
        assert_eq!(
            of(&policies, "rm x").as_deref(),
            Some("in a new run, with rule 2 of policy p changed in /p/policy.yaml")
        );
        assert_eq!(
            of(&policies, "make").as_deref(),
            Some("in a new run, with default_action changed in /p/policy.yaml")
        );
        let built_in = |command: &str| of(&PolicySet::starter(), command).expect("a suggestion");
        assert_eq!(built_in("rm -rf /"), "`rampart allow 'rm -rf /'`, and a new run");
        let long = built_in(&format!("rm -rf / {}", "x".repeat(200)));
        assert!(long.contains("rampart policy show") && long.len() <= 160, "{long}");
    }
}
