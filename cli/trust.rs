//! The client side of TLS: which CAs are trusted.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::{ClientConfig, RootCertStore};

use crate::failure::Failure;

const HTTP_1_1: &[u8] = b"http/1.1";

/// A TLS client's configuration. Trusts only the CAs in `ca`, or those of this machine if there is
/// no file.
///
/// # Errors
/// There are none, or they cannot be read.
pub fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, Failure> {
    let roots = match ca {
        Some(file) => roots_of(file)?,
        None => roots_of_this_machine()?,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(format!("cannot set up TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}

fn roots_of(file: &Path) -> Result<RootCertStore, Failure> {
    let unusable =
        |why: &str| Failure::usage(format!("cannot use the CA file {}: {why}", file.display()));
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| unusable(&said(error)))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(&said(error)))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(&format!("one certificate in it is none: {error}")))?;
    }
    if roots.is_empty() {
        return Err(unusable("there is no certificate in it (PEM, BEGIN CERTIFICATE)"));
    }
    Ok(roots)
}

fn said(error: PemError) -> String {
    match error {
        PemError::Io(error) => error.to_string(),
        error => format!("it is not PEM: {error}"),
    }
}

/// The CAs that this system trusts, without those that rustls cannot parse.
#[cfg(not(target_os = "macos"))]
fn roots_of_this_machine() -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Failure::usage(
            "this machine trusts no CA (is the package ca-certificates missing?): \
             name the server's with --ca",
        ));
    }
    Ok(roots)
}

/// The CAs that come with the system, without those added to a keychain.
#[cfg(target_os = "macos")]
fn roots_of_this_machine() -> Result<RootCertStore, Failure> {
    roots_of(Path::new("/etc/ssl/cert.pem"))
}
