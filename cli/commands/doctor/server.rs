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
        let text = format!("what answers at {url} does not report that it is ok");
        Check::problem("server", text, "check what listens there, or set RAMPART_URL to another")
    } else {
        let text = format!("none answers at {url} (from RAMPART_URL)");
        let advice = "start it, or unset RAMPART_URL: then each run starts its own server";
        Check::problem("server", text, advice)
    })
}

/// The server that is used if none is named.
fn default(home: &Home) -> Check {
    let text = match default_server::find(home) {
        Some(endpoint) => format!("yours answers at {}", endpoint.url()),
        None if Endpoint::parse(DEFAULT_URL).is_ok_and(|there| there.is_reachable(None)) => {
            format!(
                "what listens at {DEFAULT_URL} is not used, because it is not yours or not ok: \
                 each run starts its own server"
            )
        }
        None => "none of yours runs: each run starts its own".to_owned(),
    };
    Check::ok("server", text)
}
