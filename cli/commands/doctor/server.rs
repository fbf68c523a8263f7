//! Checks that a policy server answers where runs look for one.

use super::Check;
use crate::endpoint::{DEFAULT_URL, Endpoint};
use crate::failure::Failure;
use crate::home::Home;
use crate::run::default_server;
use crate::run::environment::{URL, variable};

pub fn check(home: &Home) -> Check {
    look(home).unwrap_or_else(|failure| Check::failure("server", &failure))
}

fn look(home: &Home) -> Result<Check, Failure> {
    let Some(named) = variable(URL)? else { return Ok(default(home)) };
    let endpoint = Endpoint::parse(&named)?;
    let url = endpoint.url();
    if endpoint.is_well() {
        return Ok(Check::ok("server", format!("answers at {url}")));
    }
    Ok(if endpoint.is_reachable(endpoint.resolve()?) {
        let text = format!("what answers at {url} does not say that it is well");
        Check::problem("server", text, "look what listens there, or name another in RAMPART_URL")
    } else {
        let text = format!("none answers at {url}, which RAMPART_URL names");
        let advice = "start it, or unset RAMPART_URL: then each run brings a server of its own";
        Check::problem("server", text, advice)
    })
}

/// The server that is used if none is named.
fn default(home: &Home) -> Check {
    let text = match default_server::find(home) {
        Some(endpoint) => format!("yours answers at {}", endpoint.url()),
        None if Endpoint::parse(DEFAULT_URL).is_ok_and(|there| there.is_reachable(None)) => {
            format!(
                "what listens at {DEFAULT_URL} is not asked, for it is not yours or not well: \
                 each run brings a server of its own"
            )
        }
        None => "none of yours runs: each run brings one of its own".to_owned(),
    };
    Check::ok("server", text)
}
