//! iceoryx2: a node for each side, with files and segments under names of this run's own.

pub mod event;
pub mod request;
pub mod segments;
pub mod slices;
pub mod topic;

use iceoryx2::prelude::*;
use std::fs;
use std::io;
use std::path::Path as FsPath;
use std::sync::atomic::{AtomicU32, Ordering};
use wharf_bench::contender::{failed, foreign};

/// Bytes of a small message, sent as a type of fixed size.
pub const SMALL: usize = 64;

/// Tells the connecting side the prefix of the match.
const PREFIX_FILE: &str = "iceoryx2-prefix";

/// Only errors are printed, as in the library's own benchmarks.
pub fn be_quiet() {
    set_log_level(LogLevel::Error);
}

/// Which side of a match this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The side that listens: it sends on the service `there` and receives on `back`.
    Measuring,
    /// The side that connects.
    Peer,
}

impl Side {
    /// The names of the services on which it sends and receives.
    fn services(self) -> io::Result<(ServiceName, ServiceName)> {
        let there = ServiceName::new("there").map_err(foreign)?;
        let back = ServiceName::new("back").map_err(foreign)?;
        Ok(match self {
            Side::Measuring => (there, back),
            Side::Peer => (back, there),
        })
    }

    /// Its node: files in the match's directory, segments under the match's prefix.
    fn node(self, at: &FsPath) -> io::Result<Node<ipc::Service>> {
        let prefix = match self {
            Side::Measuring => name_match(at)?,
            Side::Peer => fs::read_to_string(at.join(PREFIX_FILE))?,
        };
        let root = at.join("iceoryx2");
        let root = root.to_str().ok_or_else(|| failed("the run's directory has a name that is not UTF-8"))?;
        // Not the user's configuration file: everybody measures the same.
        let mut config = Config::default();
        config.global.prefix = FileName::new(prefix.as_bytes()).map_err(foreign)?;
        config.global.set_root_path(&Path::new(root.as_bytes()).map_err(foreign)?);
        // Ctrl-C ends the bench, as it does without iceoryx2.
        let node = NodeBuilder::new().config(&config).signal_handling_mode(SignalHandlingMode::Disabled);
        node.create::<ipc::Service>().map_err(foreign)
    }
}

fn name_match(at: &FsPath) -> io::Result<String> {
    static MATCHES: AtomicU32 = AtomicU32::new(0);
    // Relaxed: only the number matters.
    let prefix = format!("{}{}_", segments::prefix()?, MATCHES.fetch_add(1, Ordering::Relaxed));
    fs::write(at.join(PREFIX_FILE), &prefix)?;
    Ok(prefix)
}

/// One message went to the one other side that there is.
fn delivered(receivers: usize) -> io::Result<()> {
    match receivers {
        1 => Ok(()),
        others => Err(failed(format!("expected one receiver, found {others}"))),
    }
}
