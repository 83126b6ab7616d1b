//! `tls:` — the bytes of `tcp:` inside a TLS 1.3 session (docs/wire.md).

mod fault;
mod verifier;
mod wire;

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, Connection, Error, RootCertStore, ServerConfig, ServerConnection};
use zeroize::Zeroizing;

use self::verifier::Believed;
use self::wire::TlsWire;
use super::stream::Wire;
use super::tcp::TcpWire;
use crate::address::{Address, Host};
use crate::error::ConnectError;
use crate::options::Options;
use crate::tls::Tls;

/// How one side begins each of its sessions.
pub(crate) enum Session {
    /// The side that listens.
    Server(Arc<ServerConfig>),
    /// The side that connects, and the name of the other one.
    Client(Arc<ClientConfig>, ServerName<'static>),
}

impl Session {
    /// For the side that listens.
    pub(crate) fn accepting(address: &Address, options: &Options) -> Result<Self, ConnectError> {
        let tls = settings(address, options)?;
        let Some(identity) = &tls.identity else {
            return Err(ConnectError::Options(format!(
                "listening at {address} takes a certificate and its key: give them with Tls::identity"
            )));
        };
        let (certificates, key) = read_identity(identity)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13]);
        let builder = builder.map_err(unusable)?;
        let builder = if tls.client_roots.is_empty() && tls.pins.is_empty() {
            builder.with_no_client_auth()
        } else {
            let roots = read_roots(&tls.client_roots)?;
            builder.with_client_cert_verifier(Arc::new(Believed::clients(roots, &tls.pins, provider)?))
        };
        let mut config = builder.with_single_cert(certificates, key).map_err(unusable)?;
        config.send_tls13_tickets = 0;
        Ok(Session::Server(Arc::new(config)))
    }

    /// For the side that connects.
    pub(crate) fn connecting(address: &Address, host: &Host, options: &Options) -> Result<Self, ConnectError> {
        let tls = settings(address, options)?;
        if tls.roots.is_empty() && tls.pins.is_empty() {
            return Err(ConnectError::Options(format!(
                "connecting to {address} takes somebody to believe: name authorities with Tls::roots, or a certificate with Tls::pin"
            )));
        }
        let name = tls.server_name.as_ref().unwrap_or(&host.name);
        let server = ServerName::try_from(name.clone())
            .map_err(|_| ConnectError::Options(format!("'{}' is no name of a server", name.escape_debug())))?;
        let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13]);
        let roots = read_roots(&tls.roots)?;
        let builder = builder
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Believed::servers(roots, &tls.pins, provider)?));
        let mut config = match &tls.identity {
            Some(identity) => {
                let (certificates, key) = read_identity(identity)?;
                builder.with_client_auth_cert(certificates, key).map_err(unusable)?
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Ok(Session::Client(Arc::new(config), server))
    }

    /// Begins one over a connection.
    pub(crate) fn begin(&self, tcp: TcpWire) -> io::Result<Arc<dyn Wire>> {
        let session = match self {
            Session::Server(config) => ServerConnection::new(config.clone()).map(Connection::from),
            Session::Client(config, name) => ClientConnection::new(config.clone(), name.clone()).map(Connection::from),
        };
        Ok(Arc::new(TlsWire::new(tcp, session.map_err(io::Error::other)?)))
    }
}

fn settings<'a>(address: &Address, options: &'a Options) -> Result<&'a Tls, ConnectError> {
    options.tls.as_deref().ok_or_else(|| {
        ConnectError::Options(format!(
            "{address} needs certificates: say with Options::tls who this side is and believes"
        ))
    })
}

/// Reads what was given, whichever side it is for.
pub(crate) fn check(tls: &Tls) -> Result<(), ConnectError> {
    read_roots(&tls.roots)?;
    read_roots(&tls.client_roots)?;
    if let Some(identity) = &tls.identity {
        let (certificates, key) = read_identity(identity)?;
        CertifiedKey::from_der(certificates, key, &rustls::crypto::ring::default_provider()).map_err(unusable)?;
    }
    Ok(())
}

fn unusable(error: Error) -> ConnectError {
    let why = match &error {
        // The sentences are about what the other side has shown.
        Error::InvalidCertificate(why) => {
            format!("its certificate is damaged, or none ({why}): {GIVE}")
        }
        error => fault::sentence(error),
    };
    ConnectError::Options(format!("the identity of this side cannot be used: {why}"))
}

fn unusable_root(why: &Error, number: usize) -> ConnectError {
    ConnectError::Options(format!(
        "certificate {number} of those that are to be believed (roots, client roots) is damaged, or none ({why}): {GIVE}"
    ))
}

/// What to do about a certificate that is none.
const GIVE: &str = "give the file that the authority gave";

fn read_identity(
    (certificates, key): &(String, Zeroizing<String>),
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ConnectError> {
    let certificates = read_certificates(certificates)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|why| {
            ConnectError::Options(format!(
                "the private key is no PEM text with a key in it ({why}): give the one that was made with the certificate, not encrypted \
                 (`openssl pkey -in KEY -out NEW` writes it so)"
            ))
        })?;
    Ok((certificates, key))
}

fn read_certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(ConnectError::Options(format!("a certificate is expected as PEM text, found none in it: {GIVE}"))),
        Err(why) => {
            Err(ConnectError::Options(format!("a certificate is no PEM text with a certificate in it ({why}): {GIVE}")))
        }
    }
}

fn read_roots(roots: &[String]) -> Result<Option<Arc<RootCertStore>>, ConnectError> {
    if roots.is_empty() {
        return Ok(None);
    }
    let mut store = RootCertStore::empty();
    for pem in roots {
        for (at, certificate) in read_certificates(pem)?.into_iter().enumerate() {
            store.add(certificate).map_err(|why| unusable_root(&why, at + 1))?;
        }
    }
    Ok(Some(Arc::new(store)))
}
