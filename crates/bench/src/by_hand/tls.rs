//! A TLS session over a bare socket: rustls driven as its manual shows, header and payload in one write.

use crate::by_hand::tcp;
use crate::certificates;
use crate::contender::{Contender, End, Home, failed};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// The session by hand, both sides blocking in the kernel.
pub struct Tls;

/// What the listening side holds.
pub struct TlsDoor {
    door: TcpListener,
    config: Arc<ServerConfig>,
}

/// One side.
pub struct TlsEnd {
    session: Connection,
    socket: TcpStream,
}

impl TlsEnd {
    fn over(session: impl Into<Connection>, socket: TcpStream) -> io::Result<TlsEnd> {
        socket.set_nodelay(true)?;
        let mut session = session.into();
        session.set_buffer_limit(None);
        Ok(TlsEnd { session, socket })
    }

    fn send_on(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    fn read_exact(&mut self, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            match self.session.reader().read(into) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => into = &mut into[read..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The handshake goes on in here, too.
                    self.send_on()?;
                    if self.session.read_tls(&mut self.socket)? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.session.process_new_packets().map_err(io::Error::other)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl End for TlsEnd {
    fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let header = (payload.len() as u64).to_le_bytes();
        let taken = self.session.writer().write_vectored(&[IoSlice::new(&header), IoSlice::new(payload)])?;
        if taken != header.len() + payload.len() {
            return Err(failed(format!("{taken} bytes were taken of {}", header.len() + payload.len())));
        }
        self.send_on()
    }

    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut header = [0; 8];
        self.read_exact(&mut header)?;
        let len = u64::from_le_bytes(header) as usize;
        match into.get_mut(..len) {
            Some(into) => self.read_exact(into)?,
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

    /// Each side says one byte, so that both know that they have met.
    fn accept(&self, door: &mut TlsDoor) -> io::Result<TlsEnd> {
        let session = ServerConnection::new(door.config.clone()).map_err(io::Error::other)?;
        let mut end = TlsEnd::over(session, door.door.accept()?.0)?;
        // The handshake, and a word from the other side.
        end.recv(&mut [0])?;
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
        let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut end = TlsEnd::over(session, tcp::connect(at)?)?;
        end.send(&[1])?;
        end.recv(&mut [0])?;
        Ok(end)
    }
}
