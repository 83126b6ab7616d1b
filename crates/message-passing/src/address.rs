//! Addresses: the scheme says how the bytes move, the name says where the two sides meet.

use std::fmt;
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
    /// Between two threads of one process.
    Inproc,
}

impl Transport {
    /// Every transport, in the order in which they are listed to people.
    pub const ALL: [Transport; 3] = [Transport::Shm, Transport::Unix, Transport::Inproc];

    /// The part of an address before the colon.
    pub fn scheme(self) -> &'static str {
        match self {
            Transport::Shm => "shm",
            Transport::Unix => "unix",
            Transport::Inproc => "inproc",
        }
    }

    fn known() -> String {
        Self::ALL.map(|transport| format!("{}:", transport.scheme())).join(", ")
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())
    }
}

/// Where two sides meet, and how the bytes move between them: `shm:NAME`, `unix:NAME`, `unix:PATH` (anything
/// with a slash in it) or `inproc:NAME`.
///
/// ```
/// use wharf_message_passing::{Address, Transport};
///
/// let address = Address::parse("shm:echo")?;
/// assert_eq!(address.transport(), Transport::Shm);
/// assert_eq!(address.name(), "echo");
/// assert!(Address::parse("pigeon:echo").unwrap_err().to_string().contains("shm:, unix:, inproc:"));
/// # Ok::<(), wharf_message_passing::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    text: String,
    transport: Transport,
    colon: usize,
}

/// Where the socket of an address lies.
pub(crate) enum Place {
    /// Under a name in the domain's directory.
    Named(Name),
    /// At a path of the user's choice.
    Path(PathBuf),
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// When the scheme is unknown (the error lists the known ones) or the name breaks a rule (the error says
    /// which).
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let Some((scheme, name)) = text.split_once(':') else {
            return Err(AddressError::NoScheme { address: text.to_owned(), known: Transport::known() });
        };
        let Some(transport) = Transport::ALL.into_iter().find(|it| it.scheme() == scheme) else {
            return Err(AddressError::UnknownScheme {
                address: text.to_owned(),
                scheme: scheme.to_owned(),
                known: Transport::known(),
            });
        };
        if transport == Transport::Unix && name.contains('/') {
            check_path(text, name)?;
        } else {
            Name::new(name).map_err(|reason| AddressError::Name { address: text.to_owned(), reason })?;
        }
        Ok(Self { text: text.to_owned(), transport, colon: scheme.len() })
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

    /// Where the socket lies.
    pub(crate) fn place(&self) -> Result<Place, AddressError> {
        let name = self.name();
        if self.transport == Transport::Unix && name.contains('/') {
            return Ok(Place::Path(Path::new(name).to_path_buf()));
        }
        Name::new(name).map(Place::Named).map_err(|reason| AddressError::Name { address: self.text.clone(), reason })
    }
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
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.transport(), address.name()), (transport, name));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn unknown_schemes_list_the_known_ones() {
        for text in ["pigeon:x", "tcp:127.0.0.1:80", "pipe:x", "mq:x", "tls:h:1", ":x", "SHM:x"] {
            let refusal = refusal(text);
            assert!(refusal.contains("shm:, unix:, inproc:"), "{refusal}");
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
