//! What went wrong in a TLS session, in one sentence: what was found, and what to do.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// What is wrong with a certificate, beyond what the TLS library knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nobody but itself speaks for it.
    SelfSigned,
    /// It is one that signs others.
    OfAnAuthority,
    /// It is not one of those that are pinned.
    NotPinned,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::SelfSigned => {
                "the other side's certificate is self-signed: add it to the roots, or pin it, if it is the right one"
            }
            Fault::OfAnAuthority => {
                "the other side's certificate is an authority's (CA:TRUE), which signs others and stands for nobody: give it one that is \
                 not (with openssl req: -addext basicConstraints=CA:FALSE), or pin it, if it is the right one"
            }
            Fault::NotPinned => {
                "the other side's certificate is not the one that is pinned: pin its SHA-256 if it is right"
            }
        })
    }
}

impl std::error::Error for Fault {}

/// Whether an error would remain if somebody spoke for the certificate.
pub(super) fn is_about_the_certificate_itself(error: &Error) -> bool {
    use CertificateError as C;
    matches!(
        error,
        Error::InvalidCertificate(
            C::Expired
                | C::ExpiredContext { .. }
                | C::NotValidYet
                | C::NotValidYetContext { .. }
                | C::NotValidForName
                | C::NotValidForNameContext { .. }
                | C::BadEncoding
                | C::Revoked
        )
    )
}

/// See the top of the file.
pub(super) fn sentence(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(fault) => of_certificate(fault),
        Error::NoCertificatesPresented => {
            "the other side showed no certificate, and this side asks for one: give it one with Tls::identity"
                .to_owned()
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            "the other side does not speak TLS: use tls: on both sides, or tcp: on both".to_owned()
        }
        Error::PeerIncompatible(why) => {
            format!("both sides speak TLS but have no version or method in common ({why:?}): TLS 1.3 is spoken here")
        }
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::DecryptError => "what came cannot be decrypted: it was changed or mixed up on its way".to_owned(),
        Error::InconsistentKeys(_) => {
            "the private key does not belong to the certificate: give the two that do".to_owned()
        }
        Error::General(what) => format!("{what}: check the certificate and its key"),
        other => other.to_string(),
    }
}

fn of_certificate(fault: &CertificateError) -> String {
    use CertificateError as C;
    match fault {
        C::Expired | C::ExpiredContext { .. } => {
            let when = match fault {
                C::ExpiredContext { time, not_after } => {
                    format!(" ({})", ago(time.as_secs().saturating_sub(not_after.as_secs()), "ago"))
                }
                _ => String::new(),
            };
            format!("the other side's certificate has expired{when}: renew it, or check this machine's clock")
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            let when = match fault {
                C::NotValidYetContext { time, not_before } => {
                    format!(" ({})", ago(not_before.as_secs().saturating_sub(time.as_secs()), "to go"))
                }
                _ => String::new(),
            };
            format!("the other side's certificate is not valid yet{when}: wait, or check this machine's clock")
        }
        C::NotValidForName => {
            "the other side's certificate is for another name: connect by its name, or say it with Tls::server_name".to_owned()
        }
        C::NotValidForNameContext { expected, presented } => format!(
            "the other side's certificate is for {}, expected {}: connect by its name, or say it with Tls::server_name",
            names(presented),
            expected.to_str()
        ),
        C::UnknownIssuer => {
            "the other side's certificate is of an authority that this side does not know: add the authority's to the roots"
                .to_owned()
        }
        C::Revoked => "the other side's certificate has been revoked: it must not be used any more".to_owned(),
        C::BadEncoding => "the other side's certificate cannot be read: it is damaged, or no certificate".to_owned(),
        C::BadSignature => {
            "the other side's certificate was not signed by the authority that it names: one of the two is forged".to_owned()
        }
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "the other side's certificate was not made for this purpose (server or client): use one that was".to_owned()
        }
        C::Other(other) => other.to_string(),
        other => format!("the other side's certificate cannot be believed: {other}"),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let what = match alert {
        A::CertificateRequired => {
            return "the other side asks for a certificate, and this side showed none: give one with Tls::identity"
                .to_owned();
        }
        A::CertificateExpired => "finds this side's certificate expired or not valid yet: renew it",
        A::UnknownCA => "does not know the authority of this side's certificate: add the authority to its roots",
        A::BadCertificate | A::UnsupportedCertificate | A::CertificateUnknown | A::AccessDenied => {
            "does not believe this side's certificate: see what it says about it"
        }
        A::CertificateRevoked => "knows this side's certificate as revoked",
        A::ProtocolVersion | A::HandshakeFailure | A::InsufficientSecurity => {
            "has no version or method of TLS in common with this one"
        }
        A::UnrecognisedName => "does not go by this name",
        other => return format!("the other side broke the session off ({other:?})"),
    };
    format!("the other side {what}")
}

/// What a certificate is for, as it may be shown to people.
fn names(presented: &[String]) -> String {
    // They come as `DnsName("a.example")` or `IpAddress(127.0.0.1)`.
    let bare = |name: &String| {
        let inside = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest.trim_end_matches(')'));
        inside.trim_matches('"').escape_debug().to_string()
    };
    let shown: Vec<String> = presented.iter().take(3).map(bare).collect();
    match presented.len() {
        0 => "no name at all".to_owned(),
        1..=3 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), more - 3),
    }
}

/// A time in words, in days if it has some.
fn ago(seconds: u64, direction: &str) -> String {
    match seconds / 86_400 {
        0 => format!("{seconds} s {direction}"),
        1 => format!("a day {direction}"),
        days => format!("{days} days {direction}"),
    }
}
