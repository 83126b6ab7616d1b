//! A certificate for both sides of `tls:`.

use std::net::IpAddr;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use wharf_message_passing::Tls;

/// Writes a certificate that stands for this address, and its key.
pub(crate) fn both_sides(directory: &Path, address: IpAddr) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![address.to_string()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(directory.join("certificate.pem"), certificate.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
}

/// Who has these is believed by who has them.
pub(crate) fn read(directory: &Path) -> Tls {
    let certificate = std::fs::read_to_string(directory.join("certificate.pem")).unwrap();
    let key = std::fs::read_to_string(directory.join("key.pem")).unwrap();
    Tls::new().roots(&certificate).client_roots(&certificate).identity(certificate, key)
}
