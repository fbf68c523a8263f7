//! Opens connections to the policy server: TCP, on request through a proxy, and
//! TLS on top.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use httparse::{EMPTY_HEADER, Status as Parsed};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::client::Connection;
use super::fault::Fault;
use super::remote::{Proxy, Remote};

const TUNNEL_HEAD_LIMIT: usize = 8 * 1024;
const TUNNEL_HEADERS_LIMIT: usize = 64;

/// Opens connections.
pub struct Connector {
    proxy: Option<Proxy>,
    tls: TlsConnector,
    /// What all addresses of a host together get, in equal parts: one that is dead
    /// must not take the time of the next.
    patience: Duration,
}

impl Connector {
    pub fn new(tls: Arc<ClientConfig>, proxy: Option<Proxy>, patience: Duration) -> Self {
        Self { proxy, tls: TlsConnector::from(tls), patience }
    }

    /// Opens a connection to the server.
    ///
    /// # Errors
    /// There is none, or it is not the server's.
    pub async fn connect(&self, remote: &Remote) -> Result<Connection, Fault> {
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
        // It ends with the sender, or with the connection.
        tokio::spawn(driver);
        Ok(Connection::new(sender))
    }

    async fn open(&self, host: &str, port: u16) -> Result<TcpStream, Fault> {
        let fault = |error: io::Error| Fault::of(&error);
        let addresses: Vec<_> = lookup_host((host, port)).await.map_err(fault)?.collect();
        let share = self.patience / u32::try_from(addresses.len()).unwrap_or(1).max(1);
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
async fn tunnel(mut stream: TcpStream, remote: &Remote) -> Result<TcpStream, Fault> {
    let fault = |error: io::Error| Fault::of(&error);
    let untrusted = |why: &str| Fault::Untrusted(format!("the proxy {why}"));
    let target = if remote.host.contains(':') {
        format!("[{}]:{}", remote.host, remote.port)
    } else {
        format!("{}:{}", remote.host, remote.port)
    };
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(fault)?;
    let mut head = Vec::new();
    loop {
        if stream.read_buf(&mut head).await.map_err(fault)? == 0 {
            return Err(Fault::Unreachable("the proxy closed the connection".to_owned()));
        }
        let mut headers = [EMPTY_HEADER; TUNNEL_HEADERS_LIMIT];
        let mut answer = httparse::Response::new(&mut headers);
        match answer.parse(&head) {
            Ok(Parsed::Partial) if head.len() < TUNNEL_HEAD_LIMIT => {}
            Ok(Parsed::Complete(length)) => {
                return match answer.code {
                    // In a tunnel nobody speaks before the client does.
                    Some(200..=299) if length == head.len() => Ok(stream),
                    Some(200..=299) => Err(untrusted("says more than it was asked")),
                    Some(status @ 500..=599) => {
                        Err(Fault::Unreachable(format!("the proxy answers {status}")))
                    }
                    status => Err(untrusted(&format!("answers {}", status.unwrap_or_default()))),
                };
            }
            _ => return Err(untrusted("does not speak HTTP")),
        }
    }
}
