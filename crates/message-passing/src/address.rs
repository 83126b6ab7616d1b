//! Addresses: the scheme says how the bytes move, the name says where the two sides meet.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use wharf_sys::directory::Name;

use crate::error::AddressError;

/// How the bytes of a link move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// Through shared memory, one sealed log for each direction.
    Shm,
    /// Through a Unix socket; the kernel copies.
    Unix,
    /// Through a pair of pipes; the kernel copies.
    Pipe,
    /// Through a pair of POSIX message queues; the kernel copies.
    Mq,
    /// Over a TCP connection.
    Tcp,
    /// Over a TCP connection, encrypted and authenticated with TLS.
    Tls,
    /// In the messages of a WebSocket, which web browsers can open.
    Ws,
    /// Between two threads of one process.
    Inproc,
}

impl Transport {
    /// Every transport, in the order in which they are listed to people.
    pub const ALL: &'static [Transport] = &[
        Transport::Shm,
        Transport::Unix,
        Transport::Pipe,
        Transport::Mq,
        Transport::Tcp,
        Transport::Tls,
        Transport::Ws,
        Transport::Inproc,
    ];

    /// The part of an address before the colon.
    pub fn scheme(self) -> &'static str {
        match self {
            Transport::Shm => "shm",
            Transport::Unix => "unix",
            Transport::Pipe => "pipe",
            Transport::Mq => "mq",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Inproc => "inproc",
        }
    }

    fn known() -> String {
        let schemes: Vec<String> = Self::ALL.iter().map(|transport| format!("{}:", transport.scheme())).collect();
        schemes.join(", ")
    }

    /// Whether its addresses name a host and a port.
    pub fn crosses_machines(self) -> bool {
        matches!(self, Transport::Tcp | Transport::Tls | Transport::Ws)
    }

    /// Whether its addresses may be paths of the user's choice instead of names.
    fn takes_paths(self) -> bool {
        matches!(self, Transport::Unix | Transport::Pipe)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())
    }
}

/// Where two sides meet, and how the bytes move between them: `shm:NAME`, `unix:NAME`, `unix:PATH` (anything
/// with a slash in it), `pipe:NAME`, `pipe:PATH`, `mq:NAME`, `tcp:HOST:PORT`, `tls:HOST:PORT` (an IPv6 address in brackets; port 0 lets the system choose),
/// `ws:HOST:PORT` or `ws:HOST:PORT/PATH` (the path of the WebSocket, otherwise `/`) or `inproc:NAME`.
///
/// ```
/// use wharf_message_passing::{Address, Transport};
///
/// let address = Address::parse("shm:echo")?;
/// assert_eq!(address.transport(), Transport::Shm);
/// assert_eq!(address.name(), "echo");
/// assert!(Address::parse("pigeon:echo").unwrap_err().to_string().contains("shm:, unix:, "));
/// # Ok::<(), wharf_message_passing::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    text: String,
    transport: Transport,
    colon: usize,
}

/// Where the two sides of an address meet.
pub(crate) enum Place {
    /// Under a name in the domain's directory.
    Named(Name),
    /// At a path of the user's choice.
    Path(PathBuf),
    /// At a port of a host.
    Host(Host),
}

/// The host and the port of an address that crosses machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    pub(crate) name: String,
    /// The port; 0 lets the system choose one, which only makes sense for listening.
    pub(crate) port: u16,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// When the scheme is unknown (the error lists the known ones) or the name breaks a rule (the error says
    /// which).
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let Some((scheme, _)) = text.split_once(':') else {
            return Err(AddressError::NoScheme { address: text.to_owned(), known: Transport::known() });
        };
        let Some(transport) = Transport::ALL.iter().copied().find(|it| it.scheme() == scheme) else {
            return Err(AddressError::UnknownScheme {
                address: text.to_owned(),
                scheme: scheme.to_owned(),
                known: Transport::known(),
            });
        };
        let address = Self { text: text.to_owned(), transport, colon: scheme.len() };
        address.place()?;
        Ok(address)
    }

    /// Stands for a link that was handed over and has no name; nobody can connect there.
    pub(crate) fn handed(transport: Transport, with: &str) -> Self {
        let with: String = with.chars().map(|it| if it.is_control() { '?' } else { it }).collect();
        Self { text: format!("{transport}:({with})"), transport, colon: transport.scheme().len() }
    }

    /// How the bytes move.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The part after the colon.
    pub fn name(&self) -> &str {
        self.text.get(self.colon + 1..).unwrap_or("")
    }

    /// The whole address as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same address with the port that the system chose.
    pub(crate) fn with_port(&self, port: u16) -> Result<Self, AddressError> {
        let (place, path) = self.text.split_at(self.text.len() - self.path().len());
        let host = place.rsplit_once(':').map_or("", |(host, _)| host);
        Self::parse(&format!("{host}:{port}{path}"))
    }

    /// What stands behind the port of a `ws:` address, from its slash on; otherwise nothing.
    pub(crate) fn path(&self) -> &str {
        let name = if self.transport == Transport::Ws { self.name() } else { "" };
        name.find('/').and_then(|at| name.get(at..)).unwrap_or("")
    }

    /// Where the two sides meet.
    pub(crate) fn place(&self) -> Result<Place, AddressError> {
        let name = self.name();
        if self.transport.crosses_machines() {
            let path = self.path();
            let place = name.strip_suffix(path).unwrap_or(name);
            let host = check_request(path).and_then(|()| Host::read(place));
            let host = host.map_err(|reason| AddressError::Host { address: self.text.clone(), reason })?;
            return Ok(Place::Host(host));
        }
        if self.transport.takes_paths() && name.contains('/') {
            check_path(&self.text, name)?;
            return Ok(Place::Path(Path::new(name).to_path_buf()));
        }
        Name::new(name).map(Place::Named).map_err(|reason| AddressError::Name { address: self.text.clone(), reason })
    }
}

/// The longest name of a host that the domain name system knows.
const MAX_HOST_BYTES: usize = 253;

impl Host {
    /// Reads `HOST:PORT`; an IPv6 address stands in brackets.
    fn read(text: &str) -> Result<Host, String> {
        let form = "write HOST:PORT, or [HOST]:PORT for an IPv6 address";
        let Some((name, port)) = text.rsplit_once(':') else {
            return Err(format!("it has no port: {form}"));
        };
        let name = match name.strip_prefix('[') {
            Some(rest) => {
                let inside = rest.strip_suffix(']').ok_or_else(|| format!("a bracket is not closed: {form}"))?;
                inside
                    .parse::<Ipv6Addr>()
                    .map_err(|_| format!("what stands in brackets is no IPv6 address: {form}"))?;
                inside
            }
            None if name.contains(':') => return Err(format!("it has more than one colon: {form}")),
            None => name,
        };
        if name.is_empty() {
            return Err(format!("it has no host: {form}"));
        }
        if name.len() > MAX_HOST_BYTES {
            return Err(format!("its host has {} bytes, it may have {MAX_HOST_BYTES}", name.len()));
        }
        if name.contains(|it: char| it.is_control() || it.is_whitespace() || it == '/') {
            return Err("its host contains a character that no host has".to_owned());
        }
        let digits = !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits);
        let port = port.ok_or_else(|| "its port is no number from 0 to 65535".to_owned())?;
        Ok(Host { name: name.to_owned(), port })
    }
}

/// The longest path of a `ws:` address.
const MAX_REQUEST_BYTES: usize = 1_024;

/// Checks what a WebSocket is asked for with.
fn check_request(path: &str) -> Result<(), String> {
    if path.len() > MAX_REQUEST_BYTES {
        return Err(format!("its path has {} bytes, it may have {MAX_REQUEST_BYTES}", path.len()));
    }
    if let Some(odd) = path.chars().find(|it| !it.is_ascii_graphic() || matches!(it, '#' | '"' | '<' | '>' | '\\')) {
        return Err(format!("its path contains '{}': write it as %XX", odd.escape_default()));
    }
    Ok(())
}

/// The longest path that the system takes.
const MAX_PATH_BYTES: usize = 4_095;

/// The longest last part of a path. A file name may have 255 bytes; the rest is for the lock beside it.
const MAX_FILE_BYTES: usize = 200;

fn check_path(address: &str, path: &str) -> Result<(), AddressError> {
    let file = path.rsplit('/').next().unwrap_or("");
    let reason = if path.contains(char::is_control) {
        "it contains a control character".to_owned()
    } else if matches!(file, "" | "." | "..") {
        "it names a directory; add the name of the socket".to_owned()
    } else if path.len() > MAX_PATH_BYTES {
        format!("it has {} bytes, a path may have {MAX_PATH_BYTES}", path.len())
    } else if file.len() > MAX_FILE_BYTES {
        format!("its last part has {} bytes, it may have {MAX_FILE_BYTES}", file.len())
    } else {
        return Ok(());
    };
    Err(AddressError::Path { address: address.to_owned(), reason })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl AsRef<str> for Address {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        match Address::parse(text) {
            Ok(address) => panic!("{address} was understood"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_parts_of_an_address() {
        for (text, transport, name) in [
            ("shm:echo", Transport::Shm, "echo"),
            ("unix:echo", Transport::Unix, "echo"),
            ("unix:/run/x/echo.sock", Transport::Unix, "/run/x/echo.sock"),
            ("unix:./echo", Transport::Unix, "./echo"),
            ("inproc:a:b", Transport::Inproc, "a:b"),
            ("ws:localhost:80/a/b?c", Transport::Ws, "localhost:80/a/b?c"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.transport(), address.name()), (transport, name));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn hosts_and_ports() {
        for (text, name, port) in [
            ("localhost:80", "localhost", 80),
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("[::1]:65535", "::1", 65535),
            ("build-7.example:4000", "build-7.example", 4000),
        ] {
            assert_eq!(Host::read(text), Ok(Host { name: name.to_owned(), port }), "{text}");
        }
        for text in [
            "",
            ":",
            ":80",
            "localhost",
            "localhost:",
            "localhost:+80",
            "localhost:65536",
            "localhost:8o",
            "::1:80",
            "[::1:80",
            "[::1]80",
            "[host]:80",
            "a b:80",
            "a/b:80",
            "a\nb:80",
            "1:2:3",
        ] {
            let reason = Host::read(text).expect_err(text);
            assert!(!reason.is_empty() && !reason.contains(char::is_control), "{text:?}: {reason}");
        }
        assert!(Host::read(&format!("{}:80", "x".repeat(254))).is_err());
    }

    #[test]
    fn paths_of_websockets() {
        for (text, path, other) in [
            ("ws:localhost:80", "", "ws:localhost:9"),
            ("ws:[::1]:0/", "/", "ws:[::1]:9/"),
            ("ws:127.0.0.1:0/a:1/b?c=/d", "/a:1/b?c=/d", "ws:127.0.0.1:9/a:1/b?c=/d"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.path(), path, "{text}");
            assert_eq!(address.with_port(9).unwrap().as_str(), other);
            let Ok(Place::Host(host)) = address.place() else { panic!("{text} names no host") };
            assert!(!host.name.contains(['/', '[']), "{host:?}");
        }
        for text in
            ["ws:localhost/x", "ws:localhost:80/a b", "ws:localhost:80/\n", "ws:localhost:80/ä", "tcp:localhost:80/x"]
        {
            let refusal = refusal(text);
            assert!(refusal.contains("usable"), "{refusal}");
        }
        assert!(refusal(&format!("ws:localhost:80/{}", "x".repeat(1_024))).contains("1025 bytes"));
    }

    #[test]
    fn unknown_schemes_list_the_known_ones() {
        for text in ["pigeon:x", ":x", "SHM:x"] {
            let refusal = refusal(text);
            assert!(refusal.contains("shm:, unix:, "), "{refusal}");
            assert!(!refusal.contains('\n'), "{refusal}");
        }
        assert!(refusal("echo").contains("SCHEME:NAME"));
        assert!(refusal("").contains("SCHEME:NAME"));
    }

    #[test]
    fn names_that_break_a_rule() {
        for text in [
            "shm:",
            "unix:",
            "inproc:",
            "shm:a/b",
            "inproc:a/b",
            "shm:a\0b",
            "shm:.hidden",
            "unix:/tmp/",
            "unix:/tmp/..",
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains("usable"), "{refusal}");
            assert!(!refusal.contains('\n'), "{refusal}");
        }
        for text in
            ["pi\ngeon:x", "\x1b[31mecho", "shm:a\x1b[31m/b", "unix:/tmp/a\nb", "unix:/tmp/a\0b", "unix:\r/tmp/"]
        {
            let refusal = refusal(text);
            assert!(!refusal.contains(char::is_control), "{refusal:?}");
            assert!(refusal.contains('\\'), "{refusal}");
        }
        assert!(refusal("it's:x").contains("'it's:x'"));
        assert!(refusal(&format!("shm:{}", "x".repeat(300))).contains("usable"));
        assert!(refusal(&format!("unix:/{}", "x".repeat(201))).contains("201 bytes"));
        assert!(refusal(&format!("unix:{}x", "/abc".repeat(1024))).contains("4097 bytes"));
    }
}
