//! One run at a time on a machine: two would measure each other, and two with real-time priority would starve each other.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::thread;
use std::time::Duration;

/// The name that a run holds. Nobody connects to it; it has no file, and goes with its holder however that ends.
const NAME: &str = "wharf-bench, one at a time";
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// Tries in all: half an hour, longer than all cases take.
const TRIES: u32 = 3600;

/// The right to measure, until it is dropped.
pub struct OnlyOne {
    _name: UnixListener,
}

impl OnlyOne {
    /// Waits until no other run is at work. Runs in other network namespaces are not seen.
    pub fn wait() -> io::Result<OnlyOne> {
        OnlyOne::wait_for(NAME, TRIES)
    }

    fn wait_for(name: &str, tries: u32) -> io::Result<OnlyOne> {
        let address = SocketAddr::from_abstract_name(name)?;
        for at in 0..tries {
            match UnixListener::bind_addr(&address) {
                Ok(name) => return Ok(OnlyOne { _name: name }),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(error),
                Err(_) if at == 0 => eprintln!("another wharf-bench is at work on this machine; waiting until it ends"),
                Err(_) => {}
            }
            thread::sleep(PAUSE);
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("another wharf-bench has been at work for {:?}; end it, or try later", PAUSE * tries),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::OnlyOne;

    #[test]
    fn the_second_one_waits_and_has_its_turn_when_the_first_one_has_gone() {
        let name = format!("wharf-bench test {}", std::process::id());
        let first = OnlyOne::wait_for(&name, 1).expect("nobody else has this name");
        assert!(OnlyOne::wait_for(&name, 1).is_err());
        drop(first);
        OnlyOne::wait_for(&name, 1).expect("it is free again");
    }
}
