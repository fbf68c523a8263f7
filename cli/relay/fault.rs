//! Why a relay has no answer of the policy server's to give, and what it says
//! instead.
//!
//! A direct connection knows two kinds of failure (`docs/protocol.md`, Answers), and so
//! does the relay. Where nobody is reached, it says 5xx, and fail-open decides.
//! Where somebody answers who does not prove to be the server, or does not speak as
//! one, it refuses: to be taken for unreachable is what such a somebody may want.

use std::error::Error;
use std::io;

use http_body_util::LengthLimitError;
use rustls::CertificateError;

/// Why there is no answer.
#[derive(Debug)]
pub enum Fault {
    /// Nobody was reached, or was gone before the answer was whole.
    Unreachable(String),
    /// There was no whole answer in time.
    Late,
    /// What answers is not, or is not like, the policy server.
    Untrusted(String),
}

impl Fault {
    /// What a failure of the network, of TLS or of HTTP amounts to.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut untrusted = false;
        let mut innermost = error;
        while let Some(cause) = cause(innermost, &mut untrusted) {
            innermost = cause;
        }
        let why = sentence(innermost);
        if untrusted { Self::Untrusted(why) } else { Self::Unreachable(why) }
    }

    /// The same, for a person.
    pub fn reason(&self) -> String {
        match self {
            Self::Unreachable(why) => format!("the policy server cannot be reached: {why}"),
            Self::Late => "the policy server did not answer in time".to_owned(),
            Self::Untrusted(why) => format!("what answers is not a policy server to trust: {why}"),
        }
    }
}

/// What to say about an error; the commonest is for the user to put right.
fn sentence(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "its certificate is from a CA that is not trusted here (--ca names another)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// What an error comes from; notes whether it is one of who answers or how.
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
    // Broken chunks come as these.
    *untrusted |= matches!(io.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
    // Its source is that of the error inside.
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
