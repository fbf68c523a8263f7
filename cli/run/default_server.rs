//! The server that is asked where none is named: one that runs already, and that this user or
//! root owns. Whoever else listens where one is looked for is asked nothing and shown no token.

use serde::Deserialize;

use crate::endpoint::{DEFAULT_URL, Endpoint};
use crate::home::Home;

/// Finds it.
pub fn find(home: &Home) -> Option<Endpoint> {
    let places = [
        Endpoint::at_socket(&home.serve_socket()),
        stated(home),
        Endpoint::parse(DEFAULT_URL).ok(),
    ];
    // Who listens is looked up in the table of all connections of the machine: only where somebody
    // does.
    let is_it =
        |place: &Endpoint| place.is_reachable(None) && place.is_trusted() && place.is_well();
    places.into_iter().flatten().find(is_it)
}

/// What the Go command's server writes down of itself. One that speaks TLS has to be named.
#[derive(Deserialize)]
struct State {
    url: String,
}

fn stated(home: &Home) -> Option<Endpoint> {
    let text = std::fs::read_to_string(home.serve_state()).ok()?;
    let state: State = serde_json::from_str(&text).ok()?;
    Endpoint::parse(&state.url).ok()
}
