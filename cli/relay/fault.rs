//! Why a relay has no answer from the policy server, and what it answers instead.
//!
//! As for a direct connection there are two kinds of failure (`docs/protocol.md`, Answers). If
//! nobody is reached, the relay answers 5xx and fail-open decides. If somebody answers who does not
//! prove to be the server, or does not speak its protocol, the relay refuses: an attacker may want
//! to look like an unreachable server.

use std::error::Error;
use std::io;

use http_body_util::LengthLimitError;
use rustls::CertificateError;

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// Nobody was reached, or the connection ended before the answer was complete.
    Unreachable(String),
    /// There was no complete answer in time.
    Late,
    /// What answered is not the policy server, or does not behave like one.
    Untrusted(String),
}

impl Fault {
    /// Classifies an error of the network, of TLS or of HTTP.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut untrusted = false;
        let mut innermost = error;
        while let Some(cause) = cause(innermost, &mut untrusted) {
            innermost = cause;
        }
        let why = sentence(innermost);
        if untrusted { Self::Untrusted(why) } else { Self::Unreachable(why) }
    }

    /// The reason, for a person.
    pub fn reason(&self) -> String {
        match self {
            Self::Unreachable(why) => format!("the policy server cannot be reached: {why}"),
            Self::Late => "the policy server did not answer in time".to_owned(),
            Self::Untrusted(why) => format!("what answers is not a policy server to trust: {why}"),
        }
    }
}

/// The message for an error. The most common ones name the way out.
fn sentence(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "its certificate is from a CA that is not trusted here (--ca names another)".to_owned()
        }
        // What `openssl req -x509` makes.
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(why)))
            if why.0.to_string() == "CaUsedAsEndEntity" =>
        {
            "it shows a CA's own certificate, not one for a server (openssl: \
             basicConstraints=CA:FALSE)"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

/// An error's cause. Sets `untrusted` if the error is about who answers or how.
fn cause<'e>(
    error: &'e (dyn Error + 'static),
    untrusted: &mut bool,
) -> Option<&'e (dyn Error + 'static)> {
    *untrusted |= error.is::<rustls::Error>() || error.is::<LengthLimitError>();
    if let Some(http) = error.downcast_ref::<hyper::Error>() {
        *untrusted |= http.is_parse();
    }
    let Some(io) = error.downcast_ref::<io::Error>() else {
        return error.source();
    };
    // Hyper reports malformed chunks as these.
    *untrusted |= matches!(io.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
    // `source` would skip the inner error.
    io.get_ref().map(|inner| inner as &(dyn Error + 'static))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{CertificateError, Fault};

    #[test]
    fn who_answers_and_how_is_told_from_whether_somebody_does() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        for (error, untrusted) in [
            (io::Error::from(io::ErrorKind::ConnectionRefused), false),
            (io::Error::from(io::ErrorKind::ConnectionReset), false),
            (io::Error::from(io::ErrorKind::UnexpectedEof), false),
            (io::Error::new(io::ErrorKind::InvalidInput, "a broken chunk"), true),
            (io::Error::other(expired), true),
        ] {
            let fault = Fault::of(&error);
            assert_eq!(matches!(fault, Fault::Untrusted(_)), untrusted, "{error}");
            assert_eq!(matches!(fault, Fault::Unreachable(_)), !untrusted, "{error}");
        }
    }
}
