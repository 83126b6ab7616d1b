//! A TLS session over a bare socket: rustls's own stream, header and payload written and read through it.

use crate::by_hand::tcp;
use crate::certificates;
use crate::contender::{Contender, End, Home, failed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

/// The session by hand, both sides blocking in the kernel.
pub struct Tls;

/// What the listening side holds.
pub struct TlsDoor {
    door: TcpListener,
    config: Arc<ServerConfig>,
}

/// A session over its socket, whichever side it is.
trait Session: Read + Write + Send {}

impl<S: Read + Write + Send> Session for S {}

/// One side.
pub struct TlsEnd {
    session: Box<dyn Session>,
}

impl End for TlsEnd {
    fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let header = (payload.len() as u64).to_le_bytes();
        let taken = self.session.write_vectored(&[IoSlice::new(&header), IoSlice::new(payload)])?;
        if taken != header.len() + payload.len() {
            return Err(failed(format!("{taken} bytes were taken of {}", header.len() + payload.len())));
        }
        self.session.flush()
    }

    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut header = [0; 8];
        self.session.read_exact(&mut header)?;
        let len = u64::from_le_bytes(header) as usize;
        match into.get_mut(..len) {
            Some(into) => self.session.read_exact(into)?,
            None => return Err(failed(format!("a message of {len} bytes is larger than expected"))),
        }
        Ok(len)
    }
}

impl Contender for Tls {
    type Door = TlsDoor;
    type End = TlsEnd;

    fn name(&self) -> &'static str {
        "tls by hand"
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn listen(&self, at: &Path) -> io::Result<TlsDoor> {
        let (certificate, key) = certificates::make(at)?;
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
            .map_err(io::Error::other)?;
        Ok(TlsDoor { door: tcp::listen(at)?, config: Arc::new(config) })
    }

    /// Accepts and says one byte, so that both sides know that they have met.
    fn accept(&self, door: &mut TlsDoor) -> io::Result<TlsEnd> {
        let mut session = ServerConnection::new(door.config.clone()).map_err(io::Error::other)?;
        session.set_buffer_limit(None);
        let socket = door.door.accept()?.0;
        socket.set_nodelay(true)?;
        let mut end = TlsEnd { session: Box::new(StreamOwned::new(session, socket)) };
        end.send(&[1])?;
        Ok(end)
    }

    fn connect(&self, at: &Path) -> io::Result<TlsEnd> {
        let (certificate, _key) = certificates::read(at)?;
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(certificates::NAME).map_err(io::Error::other)?;
        let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        session.set_buffer_limit(None);
        let socket = tcp::connect(at)?;
        socket.set_nodelay(true)?;
        let mut end = TlsEnd { session: Box::new(StreamOwned::new(session, socket)) };
        end.recv(&mut [0])?;
        Ok(end)
    }
}
