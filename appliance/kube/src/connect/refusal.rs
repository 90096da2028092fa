//! Why the API server cannot be talked to, in words for an operator.

use std::error::Error;
use std::fmt;

use rustls::{AlertDescription, CertificateError};

use crate::connect::verify::SelfSigned;

/// One reason, found somewhere in a chain of errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The certificate is for somebody else.
    WrongName {
        wanted: String,
        names: Vec<String>,
    },
    Expired {
        for_s: Option<u64>,
    },
    NotYetValid,
    SelfSigned,
    /// The certificate is signed by a CA that is not the cluster's.
    WrongCa,
    /// It speaks TLS 1.1 or older, or the two sides have no cipher in common.
    OldTls,
    /// It does not want our client certificate.
    ClientCertificate(String),
    /// TLS failed in another way.
    Tls(String),
    /// No connection at all.
    Connect(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongName { wanted, names } => {
                write!(f, "certificate is not valid for name {wanted}")?;
                if !names.is_empty() {
                    write!(f, ", only for {}", names.join(", "))?;
                }
                f.write_str("; name it so, or set tls-server-name in the kubeconfig")
            }
            Self::Expired { for_s } => {
                f.write_str("certificate has expired")?;
                if let Some(s) = for_s {
                    write!(f, " {} ago", rough(*s))?;
                }
                f.write_str("; renew it, or set this box's clock")
            }
            Self::NotYetValid => {
                f.write_str("certificate is not valid yet; set this box's clock or the server's")
            }
            Self::SelfSigned => f.write_str(
                "certificate is self-signed; let the cluster's CA sign it, and name that CA in the kubeconfig",
            ),
            Self::WrongCa => f.write_str(
                "certificate is not signed by the CA that the kubeconfig names (certificate-authority)",
            ),
            Self::OldTls => f.write_str("it does not speak TLS 1.2 or newer"),
            Self::ClientCertificate(why) => write!(f, "it refuses our client certificate: {why}"),
            Self::Tls(why) => write!(f, "TLS failed: {why}"),
            Self::Connect(why) => write!(f, "cannot connect: {why}"),
        }
    }
}

impl Refusal {
    /// Finds the reason in a chain of errors.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        match find(error) {
            Some(tls) => Self::of_tls(tls),
            None => Self::Connect(innermost(error)),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "these enums are not ours and grow: what is not told apart is shown as it is"
    )]
    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::PeerIncompatible(_)
            | rustls::Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity,
            ) => Self::OldTls,
            rustls::Error::AlertReceived(
                alert @ (AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied),
            ) => Self::ClientCertificate(format!("{alert:?}")),
            other => Self::Tls(other.to_string()),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "these enums are not ours and grow: what is not told apart is shown as it is"
    )]
    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::Expired { for_s: None },
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired { for_s: Some(time.as_secs().saturating_sub(not_after.as_secs())) }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName => {
                Self::WrongName { wanted: "of this endpoint".to_owned(), names: Vec::new() }
            }
            CertificateError::NotValidForNameContext { expected, presented } => Self::WrongName {
                wanted: expected.to_str().into_owned(),
                names: presented.iter().map(|name| plain_name(name)).collect(),
            },
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::WrongCa,
            CertificateError::Other(other) if other.0.is::<SelfSigned>() => Self::SelfSigned,
            other => Self::Tls(other.to_string()),
        }
    }
}

/// rustls prints a name as `DnsName("a")` or `IpAddress(192.0.2.1)`.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').to_owned()
}

/// "3 days", "2 hours": enough to know what went wrong.
fn rough(s: u64) -> String {
    let (count, unit) = match s {
        0..120 => (s, "second"),
        120..7200 => (s / 60, "minute"),
        7200..172_800 => (s / 3600, "hour"),
        172_800.. => (s / 86400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// A TLS error anywhere in the chain. An `io::Error` hides what it wraps from `source`, so it is opened.
fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        next = match error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref()) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The last link of a chain says what happened; the others say where.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_is_found_inside_of_an_io_error() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let io = std::io::Error::other(std::io::Error::other(tls));
        assert_eq!(Refusal::of(&io), Refusal::WrongCa);
    }

    #[test]
    fn names_are_shown_as_an_operator_writes_them() {
        assert_eq!(plain_name("DnsName(\"kubernetes.default\")"), "kubernetes.default");
        assert_eq!(plain_name("IpAddress(192.0.2.1)"), "192.0.2.1");
        assert_eq!(plain_name("odd"), "odd");
    }

    #[test]
    fn ages_are_rough() {
        assert_eq!((rough(1), rough(90)), ("1 second".into(), "90 seconds".into()));
        assert_eq!(
            (rough(180), rough(7200), rough(864_000)),
            ("3 minutes".into(), "2 hours".into(), "10 days".into())
        );
    }
}
