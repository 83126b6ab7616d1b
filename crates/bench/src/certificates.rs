//! The certificate of a match: made by the side that listens, in the match's own directory.

use std::io;
use std::path::Path;

/// The name that it is for.
pub const NAME: &str = "bench.example";

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// Makes a certificate and its key, keeps both in the directory and returns them.
pub fn make(at: &Path) -> io::Result<(String, String)> {
    let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
    let params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    std::fs::write(at.join(CERTIFICATE), certificate.pem())?;
    std::fs::write(at.join(KEY), key.serialize_pem())?;
    read(at)
}

/// Reads them.
pub fn read(at: &Path) -> io::Result<(String, String)> {
    Ok((std::fs::read_to_string(at.join(CERTIFICATE))?, std::fs::read_to_string(at.join(KEY))?))
}
