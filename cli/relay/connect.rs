//! Opens connections to the policy server: TLS over TCP, through a proxy if there is one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{Empty, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::fault::Fault;
use super::remote::{Proxy, Remote};

const TUNNEL_HEAD_LIMIT: usize = 8 * 1024;

/// Opens connections.
pub struct Connector {
    proxy: Option<Proxy>,
    tls: TlsConnector,
    /// The time for all addresses of a host, shared equally so that a dead one does not use up the
    /// others' time.
    timeout_after: Duration,
}

impl Connector {
    pub fn new(tls: Arc<ClientConfig>, proxy: Option<Proxy>, timeout_after: Duration) -> Self {
        Self { proxy, tls: TlsConnector::from(tls), timeout_after }
    }

    /// Opens a connection to the server.
    ///
    /// # Errors
    /// The server cannot be reached, or does not prove who it is.
    pub async fn connect(&self, remote: &Remote) -> Result<SendRequest<Full<Bytes>>, Fault> {
        let stream = match &self.proxy {
            None => self.open(&remote.host, remote.port).await?,
            Some(proxy) => {
                let stream = self.open(&proxy.host, proxy.port).await?;
                tunnel(stream, remote).await?
            }
        };
        let stream = self.tls.connect(remote.name.clone(), stream).await;
        let stream = stream.map_err(|error| Fault::of(&error))?;
        let (sender, driver) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| Fault::of(&error))?;
        // The task ends with the sender or the connection.
        tokio::spawn(driver);
        Ok(sender)
    }

    async fn open(&self, host: &str, port: u16) -> Result<TcpStream, Fault> {
        let fault = |error: io::Error| Fault::of(&error);
        let addresses: Vec<_> = lookup_host((host, port)).await.map_err(fault)?.collect();
        let share = self.timeout_after / u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let mut last = Fault::Unreachable(format!("{host} has no address"));
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(fault)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = Fault::Unreachable(format!("{address}: {error}")),
                Err(_) => last = Fault::Unreachable(format!("{address} does not answer")),
            }
        }
        Err(last)
    }
}

/// Asks a proxy for a tunnel to the server.
async fn tunnel(stream: TcpStream, remote: &Remote) -> Result<TcpStream, Fault> {
    let untrusted = |why: &str| Fault::Untrusted(format!("the proxy {why}"));
    let target = if remote.host.contains(':') {
        format!("[{}]:{}", remote.host, remote.port)
    } else {
        format!("{}:{}", remote.host, remote.port)
    };
    let request = Request::connect(&target).header(HOST, &target).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| Fault::of(&error))?;
    let (mut sender, driver) = http1::Builder::new()
        .title_case_headers(true)
        .max_buf_size(TUNNEL_HEAD_LIMIT)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Fault::of(&error))?;
    tokio::spawn(driver.with_upgrades());
    let answer = sender.send_request(request).await.map_err(|error| {
        if error.is_parse() { untrusted("does not speak HTTP") } else { Fault::of(&error) }
    })?;
    match answer.status() {
        status if status.is_success() => {
            let tunnel = hyper::upgrade::on(answer).await.map_err(|error| Fault::of(&error))?;
            let parts = tunnel.downcast::<TokioIo<TcpStream>>();
            let parts = parts.map_err(|_| untrusted("opens no tunnel"))?;
            // In a tunnel the client speaks first.
            if parts.read_buf.is_empty() {
                Ok(parts.io.into_inner())
            } else {
                Err(untrusted("says more than it was asked"))
            }
        }
        status if status.is_server_error() => {
            Err(Fault::Unreachable(format!("the proxy answers {}", status.as_u16())))
        }
        status => Err(untrusted(&format!("answers {}", status.as_u16()))),
    }
}
