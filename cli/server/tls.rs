//! The server's side of TLS: its certificate and key.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::failure::Failure;
use crate::home::warn_if_others_can_read;

const HTTP_1_1: &[u8] = b"http/1.1";

/// An acceptor with a certificate chain (the server's first, then those of intermediate CAs) and
/// its private key, both in PEM.
///
/// # Errors
/// The files cannot be read, or have other contents.
pub fn acceptor(certificates: &Path, key: &Path) -> Result<TlsAcceptor, Failure> {
    let unusable = |file: &Path, why: &str| Failure::usage(format!("{}: {why}", file.display()));
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificates).and_then(Iterator::collect);
    let chain = chain.map_err(|error| unusable(certificates, &said(&error, "certificate")))?;
    if chain.is_empty() {
        return Err(unusable(certificates, &said(&PemError::NoItemsFound, "certificate")));
    }
    warn_if_others_can_read("private key", key);
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| unusable(key, &said(&error, "private key without a passphrase")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(format!("cannot set up TLS: {error}")))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| {
            let (certificates, key) = (certificates.display(), key.display());
            Failure::usage(format!("{certificates} and {key} do not go together: {error}"))
        })?;
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn said(error: &PemError, what: &str) -> String {
    match error {
        PemError::Io(error) => error.to_string(),
        PemError::NoItemsFound => format!("there is no {what} in it (PEM)"),
        error => format!("it is not PEM: {error}"),
    }
}
