//! One certificate for both sides of a `tls:` link, handed from a test to its processes as files.

use std::io;
use std::path::Path;

use wharf_message_passing::Tls;

/// The name that the certificate is for.
const NAME: &str = "proof.example";

/// Makes a certificate and its key in a directory.
///
/// # Errors
/// What the file system or the generator refuses.
pub fn make(directory: &Path) -> io::Result<()> {
    let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
    let params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    std::fs::write(directory.join("certificate.pem"), certificate.pem())?;
    std::fs::write(directory.join("key.pem"), key.serialize_pem())
}

/// Whoever reads it can play either side.
///
/// # Errors
/// What the file system refuses.
pub fn read(directory: &Path) -> io::Result<Tls> {
    let certificate = std::fs::read_to_string(directory.join("certificate.pem"))?;
    let key = std::fs::read_to_string(directory.join("key.pem"))?;
    Ok(Tls::new().roots(&certificate).client_roots(&certificate).server_name(NAME).identity(certificate, key))
}
