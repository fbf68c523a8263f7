//! Finds the server to use when none is named: one that already runs and belongs to this user or to
//! root. A stranger's server is asked nothing and shown no token.

use std::io::ErrorKind;

use serde::Deserialize;

use crate::endpoint::{DEFAULT_URL, Endpoint};
use crate::failure::say;
use crate::home::Home;
use crate::text_file;

/// Finds a running, trusted server; the first of socket, configuration, state file, default URL.
pub fn find(home: &Home) -> Option<Endpoint> {
    // `is_trusted` reads the machine's table of all sockets, so `is_reachable` is tested first.
    let is_there = |place: &Endpoint| place.is_reachable(None) && place.is_trusted();
    if let Some(own) = Endpoint::at_socket(&home.serve_socket()).filter(is_there) {
        if own.is_well() {
            return Some(own);
        }
        say(format!("no policy server of yours answers at {}, so it is not used", own.url()));
    }
    if let Some(url) = configured(home) {
        // The URL may name any host: do not even connect before the owner is known.
        let is_it = |place: &Endpoint| place.is_trusted() && place.is_well();
        match Endpoint::parse(&url).ok().filter(is_it) {
            Some(configured) => return Some(configured),
            None => say(format!(
                "{} names {url}, but no server of yours answers there, so it is not used (--url \
                 would use it)",
                home.config().display()
            )),
        }
    }
    let others = [stated(home), Endpoint::parse(DEFAULT_URL).ok()];
    others.into_iter().flatten().find(|place| is_there(place) && place.is_well())
}

/// The part of the Go command's configuration that names its server.
#[derive(Deserialize)]
struct Configuration {
    #[serde(alias = "serve_url")]
    url: Option<String>,
}

fn configured(home: &Home) -> Option<String> {
    let path = home.config();
    let text = match text_file::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        text => text.map_err(|error| error.to_string()),
    };
    let parsed = text.and_then(|text| {
        serde_saphyr::from_str::<Option<Configuration>>(&text).map_err(|error| error.to_string())
    });
    match parsed {
        Ok(configuration) => configuration?.url.filter(|url| !url.is_empty()),
        Err(why) => {
            say(format!("{}: {why}; it is ignored", path.display()));
            None
        }
    }
}

/// The state file that the Go command's server writes. A TLS server is not found this way and has
/// to be named.
#[derive(Deserialize)]
struct State {
    url: String,
}

fn stated(home: &Home) -> Option<Endpoint> {
    let text = text_file::read(&home.serve_state()).ok()?;
    let state: State = serde_json::from_str(&text).ok()?;
    Endpoint::parse(&state.url).ok()
}
