//! What stops a row: something that this machine lacks, or something that went wrong.

use std::fmt;
use std::io;

use crate::compare::place::surroundings;
use crate::failure::no_room_in;
use wharf::{ConnectError, LockError, RecvError, RegionError, SendError};

/// Why a step could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// One sentence.
    pub(crate) why: String,
    /// Whether the machine lacks what the step needs.
    pub(crate) lacking: bool,
}

impl Trouble {
    /// Something went wrong.
    pub(crate) fn wrong(why: impl Into<String>) -> Trouble {
        Trouble { why: why.into(), lacking: false }
    }

    /// This machine lacks something.
    pub(crate) fn lacking(why: impl Into<String>) -> Trouble {
        Trouble { why: why.into(), lacking: true }
    }

    /// The same, and who met with it.
    pub(crate) fn of(self, who: &str) -> Trouble {
        Trouble { why: format!("{who}: {}", self.why), lacking: self.lacking }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Trouble::lacking(no_room_in(&surroundings(), &error.to_string()))
            }
            _ => Trouble::wrong(error.to_string()),
        }
    }
}

impl From<SendError> for Trouble {
    fn from(error: SendError) -> Trouble {
        Trouble::wrong(error.to_string())
    }
}

impl From<RecvError> for Trouble {
    fn from(error: RecvError) -> Trouble {
        Trouble::wrong(error.to_string())
    }
}

impl From<ConnectError> for Trouble {
    /// What the system refuses at set-up is lacking; what the two sides say to each other is wrong.
    fn from(error: ConnectError) -> Trouble {
        let why = error.to_string();
        match error {
            ConnectError::Directory(_)
            | ConnectError::Denied { .. }
            | ConnectError::NoRoom { .. }
            | ConnectError::System { .. } => Trouble::lacking(why),
            _ => Trouble::wrong(why),
        }
    }
}

impl From<RegionError> for Trouble {
    /// What the system refuses is lacking; what another process did to the region is wrong.
    fn from(error: RegionError) -> Trouble {
        let why = error.to_string();
        match error {
            RegionError::Directory(_)
            | RegionError::Denied { .. }
            | RegionError::ReadOnlyFileSystem { .. }
            | RegionError::NoRoom { .. }
            | RegionError::System { .. } => Trouble::lacking(why),
            _ => Trouble::wrong(why),
        }
    }
}

impl From<LockError<'_, [u8]>> for Trouble {
    fn from(error: LockError<'_, [u8]>) -> Trouble {
        Trouble::wrong(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_room_is_where_the_private_directory_is() {
        let full = Trouble::from(io::Error::from(io::ErrorKind::StorageFull));
        let place = format!(", in {}, where ", surroundings().display());
        assert!(
            full.lacking && full.why.contains(&place) && full.why.contains(" bytes are free: remove what"),
            "{full}"
        );
        assert!(std::env::var_os("WHARF_DIR").is_some() || place.contains("/dev/shm,"), "{place}");
    }
}
