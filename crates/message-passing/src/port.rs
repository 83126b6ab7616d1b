//! Ports of hosts: where an address leads, and that it leads nowhere beyond this machine without protection.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::socket;

use crate::address::{Address, Host, Transport};
use crate::error::ConnectError;
use crate::options::Options;
use crate::transport::tcp::is_loopback;

/// What is missing when nothing at all comes from a host, not even that nobody listens there.
pub(crate) const SILENT_HOST: &str = "the host did not answer";

/// Listens at the first address of the host where that is possible.
pub(crate) fn listen(address: &Address, host: &Host, options: &Options, backlog: u32) -> Result<OwnedFd, ConnectError> {
    let mut failure = None;
    for place in resolve(address, host, options)? {
        match socket::listen_tcp(place, backlog) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    let error = failure.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    Err(match error.kind() {
        io::ErrorKind::AddrInUse => ConnectError::NameTaken { address: address.to_string() },
        io::ErrorKind::PermissionDenied => ConnectError::Denied {
            what: address.to_string(),
            uid: socket::my_uid(),
            remedy: "choose a port above 1023, or 0 to let the system choose",
            source: error,
        },
        _ => ConnectError::system(format!("listen at {address}"), error),
    })
}

/// The addresses of a host, once it has been looked up: one call looks it up once, however often it tries to connect.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    places: Option<Vec<SocketAddr>>,
}

/// Connects to the first address of the host that answers, each for its share of the time left. `late` makes the error
/// when none does in time. Looking the host up takes as long as the system's resolver likes.
pub(crate) fn connect(
    address: &Address,
    host: &Host,
    options: &Options,
    lookup: &mut Lookup,
    deadline: Deadline,
    late: impl Fn(&'static str) -> ConnectError,
) -> Result<(OwnedFd, SocketAddr), ConnectError> {
    if host.port == 0 {
        return Err(ConnectError::Options(format!(
            "nobody can listen at port 0 ({address}): name the listener's port"
        )));
    }
    let places = match &mut lookup.places {
        Some(known) => known,
        unknown => {
            let found = unknown.insert(resolve(address, host, options)?);
            if deadline.passed() {
                return Err(late("looking up the host took all of it"));
            }
            found
        }
    };
    let mut failure = None;
    for (tried, place) in places.iter().enumerate() {
        let share = u32::try_from(places.len() - tried).unwrap_or(u32::MAX);
        let left = deadline.remaining().unwrap_or(Duration::ZERO);
        let until = Deadline::earlier(Some(deadline), Some(Deadline::after(left / share)));
        match socket::connect_tcp(*place, until) {
            Ok(socket) => return Ok((socket, *place)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    let error = failure.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    Err(match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::NobodyListening { address: address.to_string() },
        io::ErrorKind::TimedOut => late(SILENT_HOST),
        io::ErrorKind::ConnectionReset => ConnectError::PeerGone { heard: 0 },
        _ => ConnectError::system(format!("connect to {address}"), error),
    })
}

/// The addresses of a host, none of which leads beyond this machine unless TLS protects what goes there or the options
/// ask for it.
fn resolve(address: &Address, host: &Host, options: &Options) -> Result<Vec<SocketAddr>, ConnectError> {
    let unknown = |source| ConnectError::UnknownHost { host: host.name.clone(), source };
    let places: Vec<SocketAddr> = (host.name.as_str(), host.port).to_socket_addrs().map_err(unknown)?.collect();
    if places.is_empty() {
        return Err(unknown(io::ErrorKind::NotFound.into()));
    }
    let protected = address.transport() == Transport::Tls || options.insecure;
    match places.iter().find(|place| !protected && !is_loopback(place.ip())) {
        Some(beyond) => Err(ConnectError::Unprotected { address: address.to_string(), ip: beyond.ip() }),
        None => Ok(places),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_looked_up_once() {
        use rustix::net::{AddressFamily, SocketType};
        // Bound, so nobody else gets the port, and not listening.
        let taken = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&taken, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let port = SocketAddr::try_from(rustix::net::getsockname(&taken).unwrap()).unwrap().port();
        let address = Address::parse(&format!("tcp:127.0.0.1:{port}")).unwrap();
        let (options, deadline) = (Options::new(), Deadline::after(Duration::from_secs(20)));
        let attempt = |name: &str, lookup: &mut Lookup| {
            let host = Host { name: name.to_owned(), port };
            let late = |missing: &'static str| ConnectError::Options(missing.to_owned());
            connect(&address, &host, &options, lookup, deadline, late).unwrap_err()
        };
        let mut lookup = Lookup::default();
        let nobody = attempt("127.0.0.1", &mut lookup);
        assert!(matches!(nobody, ConnectError::NobodyListening { .. }), "{nobody:?}");
        // Asked again, the resolver would not know this one.
        let nobody = attempt("no such host", &mut lookup);
        assert!(matches!(nobody, ConnectError::NobodyListening { .. }), "{nobody:?}");
        let unknown = attempt("no such host", &mut Lookup::default());
        assert!(matches!(unknown, ConnectError::UnknownHost { .. }), "{unknown:?}");
    }
}
