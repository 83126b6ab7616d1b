//! Which address is meant: a host, a host and a port, or a whole address.

use std::net::{IpAddr, Ipv6Addr};

use wharf::{Address, Transport};

/// Where a server listens unless another port is named.
pub(crate) const PORT: u16 = 7411;

/// Reads what stands behind `--serve` and `--remote`. What has no scheme is reached over TLS.
pub(crate) fn read(text: &str) -> Result<Address, String> {
    let is_scheme = |scheme: &str| Transport::ALL.iter().any(|transport| transport.scheme() == scheme);
    let whole = match text.split_once(':') {
        Some((scheme, name)) if is_scheme(scheme) => {
            format!("{scheme}:{}", if scheme_has_host(scheme) { with_port(name) } else { name.into() })
        }
        _ => format!("tls:{}", with_port(text)),
    };
    let address = Address::parse(&whole).map_err(|error| error.to_string())?;
    match address.transport() {
        Transport::Tcp | Transport::Tls | Transport::Unix => Ok(address),
        other => Err(format!("'{text}': a comparison is served over tls:, tcp: or unix:, not over {other}:")),
    }
}

fn scheme_has_host(scheme: &str) -> bool {
    Transport::ALL.iter().any(|transport| transport.scheme() == scheme && transport.crosses_machines())
}

fn with_port(host: &str) -> String {
    if host.parse::<Ipv6Addr>().is_ok() {
        return format!("[{host}]:{PORT}");
    }
    let behind_brackets = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    if behind_brackets.contains(':') { host.to_owned() } else { format!("{host}:{PORT}") }
}

/// The host and the port of an address that crosses machines.
pub(crate) fn host_and_port(address: &Address) -> Option<(&str, u16)> {
    let (host, port) = address.name().rsplit_once(':')?;
    address.transport().crosses_machines().then_some((host, port.parse().ok()?))
}

/// Whether whoever uses this address stays on this machine. A name of a host may mean anything, but for `localhost`.
pub(crate) fn is_loopback(address: &Address) -> bool {
    let Some((host, _)) = host_and_port(address) else { return true };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_directory_is_taken_as_it_is() {
        let address = read("unix:compare").expect("an address");
        assert_eq!(address.as_str(), "unix:compare");
        assert!(is_loopback(&address));
        assert_eq!(host_and_port(&address), None);
        assert!(read("shm:compare").expect_err("no network").contains("tls:, tcp: or unix:"));
    }

    #[test]
    fn a_host_gets_the_usual_port() {
        for (text, whole) in [
            ("10.0.0.1", "10.0.0.1:7411"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("::1", "[::1]:7411"),
            ("[::1]", "[::1]:7411"),
            ("[::1]:80", "[::1]:80"),
            ("build-7", "build-7:7411"),
        ] {
            assert_eq!(with_port(text), whole);
        }
    }
}
