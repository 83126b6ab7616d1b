//! Who a `tls:` side is, and whom it trusts: certificates, keys and pins.

use zeroize::Zeroizing;

use crate::error::ConnectError;

/// How a `tls:` side proves who it is, and whom it believes; see [`Options::tls`](crate::Options::tls).
///
/// The listening side needs an [`identity`](Self::identity). The connecting side says whom it believes: authorities
/// ([`roots`](Self::roots)), one certificate or key ([`pin`](Self::pin)), or both. A listening side that names
/// authorities for its clients ([`client_roots`](Self::client_roots)), or pins, asks each client for a certificate
/// (mutual TLS). Certificates and keys are given as PEM text; what is wrong with them is told by `listen` and `connect`
/// (and by [`check`](Self::check)).
///
/// The memory in which the key is kept is wiped when this is dropped, and every clone; the copies of whoever gave it, and the
/// one that a session works with, are not.
///
/// Only TLS 1.3 is spoken. Sessions are never resumed, and no data goes before the handshake is done.
///
/// ```
/// use wharf_message_passing::{Options, Tls};
/// # let (certificate, key) = ("", "");
///
/// let tls = Tls::new().identity(certificate, key).client_roots(certificate);
/// let options = Options::new().tls(tls);
/// # let _ = options;
/// ```
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificates, and the key of the first.
    pub(crate) identity: Option<(String, Zeroizing<String>)>,
    pub(crate) roots: Vec<String>,
    pub(crate) client_roots: Vec<String>,
    pub(crate) pins: Vec<[u8; 32]>,
    pub(crate) server_name: Option<String>,
}

impl Tls {
    /// Nothing: connecting with it fails, and so does listening.
    pub fn new() -> Self {
        Self::default()
    }

    /// This side's certificate, followed by those between it and its authority, and its private key.
    #[must_use]
    pub fn identity(mut self, certificates: impl Into<String>, key: impl Into<String>) -> Self {
        self.identity = Some((certificates.into(), Zeroizing::new(key.into())));
        self
    }

    /// Certificates of authorities whose word on servers the connecting side takes. May be called several times.
    #[must_use]
    pub fn roots(mut self, certificates: impl Into<String>) -> Self {
        self.roots.push(certificates.into());
        self
    }

    /// Certificates of authorities whose word on clients the listening side takes; it then admits nobody without a
    /// certificate of theirs. May be called several times.
    #[must_use]
    pub fn client_roots(mut self, certificates: impl Into<String>) -> Self {
        self.client_roots.push(certificates.into());
        self
    }

    /// The SHA-256 of the only certificate (in DER), or of the only public key (its `SubjectPublicKeyInfo` in DER), that
    /// is believed of the other side; after several calls, of any of them. Together with roots both must hold. Without
    /// roots the pin alone decides, so neither names, dates nor authorities matter.
    #[must_use]
    pub fn pin(mut self, sha256: [u8; 32]) -> Self {
        self.pins.push(sha256);
        self
    }

    /// Reads what was given, and says what is wrong with it; `listen` and `connect` do the same before anything else. For
    /// programs that have it from several files, and want to say which one is wrong.
    ///
    /// # Errors
    /// [`ConnectError::Options`], in one sentence.
    pub fn check(&self) -> Result<(), ConnectError> {
        crate::transport::tls::check(self)
    }

    /// The name that the server's certificate must be for, instead of the address's host.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }
}

impl std::fmt::Debug for Tls {
    /// Leaves keys out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("has_identity", &self.identity.is_some())
            .field("roots", &self.roots.len())
            .field("client_roots", &self.client_roots.len())
            .field("pins", &self.pins.len())
            .field("server_name", &self.server_name)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use zeroize::ZeroizeOnDrop;

    use super::*;

    fn is_wiped<T: ZeroizeOnDrop>(_: &T) {}

    #[test]
    fn keys_are_wiped_and_not_shown() {
        let tls = Tls::new().identity("public", "private");
        let (certificates, key) = tls.identity.as_ref().unwrap();
        is_wiped(key);
        assert_eq!((certificates.as_str(), key.as_str()), ("public", "private"));
        assert!(!format!("{tls:?}").contains("private"));
    }
}
