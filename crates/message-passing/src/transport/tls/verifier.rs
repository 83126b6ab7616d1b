//! Whom a side of `tls:` believes: authorities, pinned certificates, or both at once.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
};

use super::fault::{self, Fault};
use crate::error::ConnectError;

/// See the top of the file; `V` knows the authorities.
#[derive(Debug)]
pub(super) struct Believed<V> {
    authorities: Option<V>,
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

type Servers = Believed<Arc<WebPkiServerVerifier>>;
type Clients = Believed<Arc<dyn ClientCertVerifier>>;

impl Servers {
    /// What the connecting side believes of servers.
    pub(super) fn servers(
        roots: Option<Arc<RootCertStore>>,
        pins: &[[u8; 32]],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, ConnectError> {
        let build = |roots| WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
        let authorities = roots.map(build).transpose().map_err(|error| ConnectError::Options(error.to_string()))?;
        Ok(Self { authorities, pins: pins.to_vec(), provider })
    }
}

impl Clients {
    /// What the listening side believes of clients.
    pub(super) fn clients(
        roots: Option<Arc<RootCertStore>>,
        pins: &[[u8; 32]],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, ConnectError> {
        let build = |roots| WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build();
        let authorities = roots.map(build).transpose().map_err(|error| ConnectError::Options(error.to_string()))?;
        Ok(Self { authorities, pins: pins.to_vec(), provider })
    }
}

impl<V> Believed<V> {
    fn check_pin(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let parsed = rustls::server::ParsedCertificate::try_from(certificate)?;
        let key = parsed.subject_public_key_info();
        let is = |bytes: &[u8]| self.pins.iter().any(|pin| digest(&SHA256, bytes).as_ref() == pin);
        if self.pins.is_empty() || is(certificate) || is(&key) { Ok(()) } else { Err(told(Fault::NotPinned)) }
    }

    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn told(fault: Fault) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault))))
}

/// An authority that is not known is told apart from a certificate that only speaks for itself, and from one that may not speak at all.
fn refined(error: Error, certificate: &CertificateDer<'_>) -> Error {
    if let Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = &error
        && let Some(webpki::Error::CaUsedAsEndEntity) = other.downcast_ref()
    {
        return told(Fault::OfAnAuthority);
    }
    let may_be_its_own = !fault::is_about_the_certificate_itself(&error);
    match webpki::EndEntityCert::try_from(certificate) {
        Ok(parsed) if may_be_its_own && parsed.issuer() == parsed.subject() => told(Fault::SelfSigned),
        _ => error,
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_pin(certificate)?;
        match &self.authorities {
            Some(authorities) => authorities
                .verify_server_cert(certificate, between, name, stapled, now)
                .map_err(|error| refined(error, certificate)),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.as_ref().map_or(&[], |authorities| authorities.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_pin(certificate)?;
        match &self.authorities {
            Some(authorities) => {
                authorities.verify_client_cert(certificate, between, now).map_err(|error| refined(error, certificate))
            }
            None => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
