//! A certificate for one run of this command: made at its start, trusted by its fingerprint, gone at its end.

use std::fmt;

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use wharf::Tls;

/// Bytes of a fingerprint.
const BYTES: usize = 32;

/// A self-signed certificate with its key. Nobody vouches for it: whoever is told its fingerprint believes it alone.
pub(crate) struct Identity {
    certificate: String,
    key: String,
    /// By which it is known.
    pub(crate) fingerprint: Fingerprint,
}

impl Identity {
    /// A new one.
    pub(crate) fn make() -> Result<Identity, String> {
        let failed = |error: rcgen::Error| format!("cannot make a certificate: {error}");
        let key = KeyPair::generate().map_err(failed)?;
        let params = CertificateParams::new(vec!["wharf.invalid".to_owned()]).map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        let fingerprint = Fingerprint::of(certificate.der());
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem(), fingerprint })
    }

    /// What the listening side shows.
    pub(crate) fn tls(&self) -> Tls {
        Tls::new().identity(&self.certificate, &self.key)
    }
}

/// The SHA-256 of a certificate, by which a client knows the one that it is meant to talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; BYTES]);

impl Fingerprint {
    fn of(certificate: &[u8]) -> Fingerprint {
        let mut bytes = [0; BYTES];
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        // A SHA-256 has as many bytes.
        bytes.copy_from_slice(digest.as_ref());
        Fingerprint(bytes)
    }

    /// That of the first certificate in a text, which is the one that a side shows.
    pub(crate) fn of_pem(text: &str) -> Option<Fingerprint> {
        CertificateDer::from_pem_slice(text.as_bytes()).ok().map(|certificate| Fingerprint::of(&certificate))
    }

    /// Reads 64 hexadecimal letters; colons between them are allowed, as other programs write them.
    pub(crate) fn read(text: &str) -> Result<Fingerprint, String> {
        let letters: Vec<u8> = text.bytes().filter(|letter| *letter != b':').collect();
        let wrong = || {
            let found = match letters.iter().position(|letter| !letter.is_ascii_hexdigit()) {
                Some(at) => format!("another one at place {}", at + 1),
                None => letters.len().to_string(),
            };
            format!(
                "'{text}' is no fingerprint: expected {} hexadecimal letters (0 to 9, a to f), found {found}; give the one that the other \
                 side says, or the SHA-256 of its certificate (openssl x509 -in CERT.pem -outform der | sha256sum)",
                2 * BYTES
            )
        };
        if letters.len() != 2 * BYTES {
            return Err(wrong());
        }
        let mut bytes = [0; BYTES];
        for (byte, pair) in bytes.iter_mut().zip(letters.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|it| it.is_ascii_hexdigit()));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(wrong)?;
        }
        Ok(Fingerprint(bytes))
    }

    /// Its bytes.
    pub(crate) fn bytes(self) -> [u8; BYTES] {
        self.0
    }

    /// What the connecting side believes: this certificate and no other.
    pub(crate) fn tls(self) -> Tls {
        Tls::new().pin(self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let identity = Identity::make().expect("a certificate");
        let text = identity.fingerprint.to_string();
        assert!(Fingerprint::read(&text) == Ok(identity.fingerprint));
        assert!(Fingerprint::of_pem(&identity.certificate) == Some(identity.fingerprint));
        assert!(Fingerprint::of_pem(&identity.key).is_none());
        let colons: Vec<&str> = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]).collect();
        assert!(Fingerprint::read(&colons.join(":").to_uppercase()) == Ok(identity.fingerprint));
        assert!(Identity::make().expect("another").fingerprint != identity.fingerprint);
        for wrong in ["", "00", &"0".repeat(63), &"g".repeat(64), &"é".repeat(32), &format!("+1{}", &text[2..])] {
            assert!(Fingerprint::read(wrong).is_err_and(|why| why.contains("64 hexadecimal letters")), "{wrong}");
        }
    }
}
