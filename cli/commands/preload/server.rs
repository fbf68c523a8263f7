//! The policy server of a run: one that exists already, behind a relay if it needs one, or the
//! run's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rampart_policy::PolicySet;

use super::arguments::Arguments;
use crate::audit::Durability;
use crate::endpoint::Endpoint;
use crate::failure::{Failure, say};
use crate::home::Home;
use crate::library;
use crate::mode::Mode;
use crate::policy_file::InForce;
use crate::project_policy;
use crate::relay::{self, Proxy, RelayOptions, Remote};
use crate::run::environment::{URL, variable};
use crate::run::own_server::Access;
use crate::run::{default_server, embedded};
use crate::token::Token;

/// The variable that sets `--ca`.
const CA: &str = "RAMPART_CA";

/// A server that exists already.
enum ExistingServer {
    /// The library can ask it directly.
    Direct(Endpoint),
    /// A relay has to ask it.
    Relayed(Box<Remote>),
}

impl ExistingServer {
    fn parse(url: &str) -> Result<Self, Failure> {
        if Remote::is_named_by(url) {
            Remote::parse(url).map(|remote| Self::Relayed(Box::new(remote)))
        } else {
            Endpoint::parse(url).map(Self::Direct)
        }
    }
}

/// The server that this run uses.
pub struct Server {
    pub url: Option<String>,
    pub token: Option<Token>,
    pub address: Option<SocketAddr>,
    pub library: PathBuf,
    /// Whether it could be reached.
    pub is_reached: bool,
    /// Whether it is a process of this run: its own server, or a relay.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "Linux may end it"))]
    pub is_of_run: bool,
    /// Its policy, if it is this run's own.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "it is for a sealed run"))]
    pub own: Option<Own>,
}

/// The policy of a run's own server, and its audit.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "it is for a sealed run"))]
pub struct Own {
    pub policies: PolicySet,
    pub home: Home,
    pub audit: PathBuf,
    pub durability: Durability,
}

impl Server {
    /// The server that the arguments ask for, with its address, token and library path. Starts it if
    /// it is this run's own.
    ///
    /// # Errors
    /// The arguments do not fit together, or the server cannot be started.
    pub fn choose(
        arguments: &Arguments,
        home: &Home,
        library: PathBuf,
        is_sealed: bool,
    ) -> Result<Self, Failure> {
        if arguments.mode == Mode::Disabled {
            return Self::unasked(library);
        }
        let consequence = consequence(arguments, is_sealed);
        match external(arguments, home)? {
            Some(ExistingServer::Direct(endpoint)) => {
                Self::external(&endpoint, arguments, consequence, home, library)
            }
            Some(ExistingServer::Relayed(remote)) => {
                Self::relayed(*remote, arguments, consequence, home, &library)
            }
            None => Self::embedded(arguments, home, &library, is_sealed),
        }
    }

    fn unasked(library: PathBuf) -> Result<Self, Failure> {
        Ok(Self {
            url: None,
            token: None,
            address: None,
            library: listable(library)?,
            is_reached: false,
            is_of_run: false,
            own: None,
        })
    }

    fn external(
        endpoint: &Endpoint,
        arguments: &Arguments,
        consequence: &str,
        home: &Home,
        library: PathBuf,
    ) -> Result<Self, Failure> {
        let library = listable(library)?;
        let address = endpoint.resolve()?;
        let token = match named_token(arguments)? {
            Some(token) => Some(token),
            None => own_token(arguments, endpoint, home)?,
        };
        let is_reached = endpoint.is_reachable(address);
        if !is_reached {
            let url = endpoint.url();
            say(format!("no server answers at {url}: until one does, {consequence}"));
        }
        let url = Some(endpoint.url().to_owned());
        Ok(Self { url, token, address, library, is_reached, is_of_run: false, own: None })
    }

    fn embedded(
        arguments: &Arguments,
        home: &Home,
        library: &Path,
        is_sealed: bool,
    ) -> Result<Self, Failure> {
        let mut policy = InForce::load(arguments.policy.as_deref(), home)?;
        policy.files.tell_of_other_writers();
        if let Ok(here) = std::env::current_dir() {
            policy.policies = project_policy::restrict(policy.policies, &here, home);
        }
        let durability = Durability::of_run(arguments.audit_sync);
        let own = Own {
            policies: policy.policies.clone(),
            audit: home.audit(),
            durability,
            home: home.clone(),
        };
        let mode = arguments.mode;
        let access = embedded::start(policy, mode, home, durability, library, is_sealed)?;
        Ok(Self { own: Some(own), ..Self::of_run(access) })
    }

    fn relayed(
        remote: Remote,
        arguments: &Arguments,
        consequence: &'static str,
        home: &Home,
        library: &Path,
    ) -> Result<Self, Failure> {
        let inherited = std::env::var_os(CA).filter(|file| !file.is_empty()).map(PathBuf::from);
        let options = RelayOptions {
            remote,
            token: named_token(arguments)?,
            ca: arguments.ca.as_deref().or(inherited.as_deref()),
            proxy: arguments.proxy.as_deref().map(Proxy::parse).transpose()?,
            consequence,
            waits: arguments.ask.is_some(),
        };
        relay::start(options, home, library).map(Self::of_run)
    }

    fn of_run(access: Access) -> Self {
        let Access { url, token, library } = access;
        let (url, token) = (Some(url), Some(token));
        Self { url, token, address: None, library, is_reached: true, is_of_run: true, own: None }
    }
}

/// What happens to programs while the server cannot be reached, for messages.
fn consequence(arguments: &Arguments, is_sealed: bool) -> &'static str {
    let is_refused = !arguments.fail_open || is_sealed && arguments.mode == Mode::Enforce;
    if is_refused { "everything is refused" } else { "everything runs unchecked" }
}

/// The existing server to use, if any.
fn external(arguments: &Arguments, home: &Home) -> Result<Option<ExistingServer>, Failure> {
    let named = named_server(arguments, home)?;
    let has_tls = matches!(named, Some(ExistingServer::Relayed(_)));
    if !has_tls && (arguments.ca.is_some() || arguments.proxy.is_some()) {
        return Err(Failure::usage(
            "--ca and --proxy are for an https:// server: name it with --url or RAMPART_URL",
        ));
    }
    Ok(named)
}

fn named_server(arguments: &Arguments, home: &Home) -> Result<Option<ExistingServer>, Failure> {
    if arguments.policy.is_some() || arguments.audit_sync {
        return Ok(None);
    }
    if let Some(port) = arguments.port {
        return Ok(Some(ExistingServer::Direct(Endpoint::local(port))));
    }
    if let Some(url) = &arguments.url {
        return ExistingServer::parse(url).map(Some);
    }
    if let Some(url) = variable(URL)? {
        return ExistingServer::parse(&url).map(Some);
    }
    match default_server::find(home) {
        Some(server) => Ok(Some(ExistingServer::Direct(server))),
        None if arguments.token.is_some() => Err(Failure::usage(
            "--token is for an existing server, and none of yours answers: name one with --url \
             or --port; nothing was run",
        )),
        None => Ok(None),
    }
}

fn named_token(arguments: &Arguments) -> Result<Option<Token>, Failure> {
    match &arguments.token {
        Some(token) => Token::new(token).map(Some),
        None => variable("RAMPART_TOKEN")?.map(|token| Token::new(&token)).transpose(),
    }
}

/// This user's token, for a server that was not named by URL. Only shown if the server belongs to
/// this user or root: a stranger may listen at the port.
fn own_token(
    arguments: &Arguments,
    endpoint: &Endpoint,
    home: &Home,
) -> Result<Option<Token>, Failure> {
    if arguments.url.is_some() || variable(URL)?.is_some() && arguments.port.is_none() {
        return Ok(None);
    }
    let token = Token::read_if_there(&home.token())?;
    if token.is_none() || endpoint.is_trusted() {
        return Ok(token);
    }
    say(format!(
        "{} does not get your token, because it is not known to be yours or root's: set \
         RAMPART_TOKEN to send it anyway",
        endpoint.url()
    ));
    Ok(None)
}

/// Refuses a library path that the preload list cannot hold. (A run with its own server makes a
/// link in its own directory instead.)
fn listable(library: PathBuf) -> Result<PathBuf, Failure> {
    if library::can_be_listed(&library) {
        return Ok(library);
    }
    Err(Failure::usage(format!(
        "the library cannot be preloaded from {}, whose path has a blank, a colon or a dollar \
         sign: put it elsewhere and set RAMPART_LIBRARY; nothing was run",
        library.display()
    )))
}
