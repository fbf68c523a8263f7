//! Why a body is not a verdict.

/// The reason, for a person.
pub type Fault = &'static str;

pub const NOT_JSON: Fault = "the policy server's answer is not one JSON object";
pub const TOO_DEEP: Fault = "the policy server's answer is nested too deeply";
pub const NOT_BOOLEAN: Fault = "`allowed` in the policy server's answer is not a boolean";
pub const TWICE: Fault = "the policy server's answer holds `allowed` twice";
pub const MISSING: Fault = "the policy server's answer holds no `allowed`";
