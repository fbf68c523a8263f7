//! Checks that a policy server answers where one is looked for.

use super::Check;
use crate::endpoint::{DEFAULT_URL, Endpoint};
use crate::failure::Failure;
use crate::run::environment::{URL, variable};

pub fn check() -> Check {
    look().unwrap_or_else(|failure| Check::failure("server", &failure))
}

fn look() -> Result<Check, Failure> {
    let named = variable(URL)?;
    let endpoint = Endpoint::parse(named.as_deref().unwrap_or(DEFAULT_URL))?;
    let url = endpoint.url();
    if endpoint.is_well() {
        return Ok(Check::ok("server", format!("answers at {url}")));
    }
    Ok(if endpoint.is_reachable(endpoint.resolve()?) {
        let text = format!("what answers at {url} does not say that it is well");
        Check::problem("server", text, "look what listens there, or name another in RAMPART_URL")
    } else if named.is_some() {
        let text = format!("none answers at {url}, which RAMPART_URL names");
        let advice = "start it, or unset RAMPART_URL: then each run brings a server of its own";
        Check::problem("server", text, advice)
    } else {
        let text = format!("none answers at {url}: each run brings one of its own");
        Check::ok("server", text)
    })
}
