//! `rampart serve`: the policy server in the foreground.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use crate::audit::{Audit, Durability};
use crate::command_line::number;
use crate::endpoint::Endpoint;
use crate::failure::{Failure, say};
use crate::home::{Home, make_private_directory};
use crate::mode::Mode;
use crate::policy_file::{InForce, warnings};
use crate::run::lifetime::ending_signal;
use crate::server::listen::{self, SocketFile};
use crate::server::{self, Policy, Reload, Server, tls};
use crate::token::Token;

const EXAMPLES: &str = "\
Examples:
  rampart serve
  rampart serve --port 0 --policy team.yaml
  rampart serve --unix ~/.rampart/server.sock --mode monitor
  rampart serve --addr 0.0.0.0 --port 443 --tls-cert chain.pem --tls-key key.pem

The server answers POST /v1/preflight/exec to clients that show the token, and GET /healthz to
everybody. SIGTERM and SIGINT end it. It reloads the policy when the file changes, unless others
may write to it; if the new text is not a policy, the old one stays.";

/// Serve a policy to guarded programs on this machine
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Address to listen at
    #[arg(long, value_name = "IP", default_value = "127.0.0.1", help_heading = "Where")]
    addr: IpAddr,
    /// Port to listen at; 0 takes a free one and says which
    #[arg(
        long,
        value_name = "N",
        default_value_t = 19090,
        value_parser = number(0..=u16::MAX),
        help_heading = "Where"
    )]
    port: u16,
    /// Listen at this Unix socket too [default: ~/.rampart/serve.sock, where runs look for it]
    #[arg(long, value_name = "PATH", help_heading = "Where")]
    unix: Option<PathBuf>,

    /// Speak TLS at that address, with the certificate and its chain in this file (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Where")]
    tls_cert: Option<PathBuf>,
    /// The private key to the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Where")]
    tls_key: Option<PathBuf>,

    /// The policy [default: ~/.rampart/policy.yaml and policies/*.yaml, else the built-in starter]
    #[arg(long, value_name = "FILE", help_heading = "What")]
    policy: Option<PathBuf>,
    /// Whether verdicts are enforced
    #[arg(long, value_enum, default_value = "enforce", help_heading = "What")]
    mode: Mode,

    /// File with the token that callers have to show
    /// [default: ~/.rampart/token, made if there is none]
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    token_file: Option<PathBuf>,
    /// File that every decision is appended to [default: ~/.rampart/audit.jsonl]
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    audit: Option<PathBuf>,
    /// Write each decision to the disk before answering; otherwise a crash may lose the last
    /// entries of the audit
    #[arg(long, help_heading = "Files")]
    audit_sync: bool,
}

/// Serves until a signal ends it.
///
/// # Errors
/// An address is taken, or a file cannot be used.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let home = Home::locate()?;
    let policy = InForce::load(arguments.policy.as_deref(), &home)?;
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificates), Some(key)) => Some(tls::acceptor(certificates, key)?),
        _ => None,
    };
    let token = token(arguments, &home)?;
    let tcp = listen::bind_tcp(SocketAddr::new(arguments.addr, arguments.port))?;
    let (scheme, is_plain) = if tls.is_some() { ("https", false) } else { ("http", true) };
    let mut places = tcp
        .local_addr()
        .map(|address| format!("{scheme}://{address}"))
        .map_err(|error| Failure::new(format!("cannot tell the address: {error}")))?;
    let runtime = server::runtime()?;
    let entered = runtime.enter();
    let cannot_listen = |error| Failure::new(format!("cannot listen: {error}"));
    let mut listeners = vec![listen::Listener::tcp(tcp, tls).map_err(cannot_listen)?];
    let mut socket_file = None;
    if let Some((listener, file, path)) = unix(arguments, &home)? {
        listeners.push(listen::Listener::unix(listener).map_err(cannot_listen)?);
        socket_file = Some(file);
        places = format!("{places} and unix://{}", path.display());
    }
    policy.files.tell_of_other_writers();
    for warning in warnings(&policy.policies, &policy.files.first) {
        say(warning);
    }
    let durability = Durability::synced(arguments.audit_sync);
    let audit = match &arguments.audit {
        Some(named) => Audit::asked_for(named, durability)?,
        None if arguments.audit_sync => Audit::asked_for(&home.audit(), durability)?,
        None => Audit::open(&home.audit(), durability),
    };
    let origin = policy.origin.to_string();
    let policy = Policy::new(arguments.mode, Reload::new(policy, Instant::now()), audit)?;
    policy.prepare();
    let told_to_end = ending_signal()
        .map_err(|error| Failure::new(format!("cannot set up the server: {error}")))?;
    drop(entered);
    let server = Server::new(listeners, token, 0);
    if is_plain && !arguments.addr.is_loopback() {
        say("commands and the token cross the network unencrypted: the address is not loopback");
    }
    say(format!("serving on {places} (policy {origin}, mode {})", arguments.mode.name()));
    runtime.block_on(policy.serve(server, told_to_end));
    runtime.shutdown_background();
    drop(socket_file);
    Ok(())
}

/// Listens at the named Unix socket, otherwise at the one where this user's runs look. If the
/// latter fails, the server goes on without it.
fn unix(
    arguments: &Arguments,
    home: &Home,
) -> Result<Option<(UnixListener, SocketFile, PathBuf)>, Failure> {
    let path = arguments.unix.clone().unwrap_or_else(|| home.serve_socket());
    let path = std::path::absolute(&path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    if arguments.unix.is_none() {
        // An error shows when the socket is bound.
        let _ = make_private_directory(home.directory());
    }
    match listen::bind_unix(&path) {
        Ok((listener, file)) => {
            if let Err(why) = Endpoint::parse(&format!("unix://{}", path.display())) {
                say(format!("runs cannot ask at that socket: {}", why.sentence()));
            }
            Ok(Some((listener, file, path)))
        }
        Err(failure) if arguments.unix.is_none() => {
            say(format!("runs will not find this server by themselves: {}", failure.sentence()));
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

fn token(arguments: &Arguments, home: &Home) -> Result<Token, Failure> {
    if let Some(path) = &arguments.token_file {
        return Token::read(path);
    }
    let path = home.token();
    if let Some(token) = Token::read_if_there(&path)? {
        return Ok(token);
    }
    let token = Token::random()?;
    if !token.save(&path)? {
        // Another process was faster.
        return Token::read(&path);
    }
    say(format!("made a new token in {}", path.display()));
    Ok(token)
}
