//! What an interrupted run would leave behind, and who takes it away.

use crate::by_hand::mqueue;
use signal_hook::iterator::Signals;
use std::ffi::CString;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Peers at work may add a file while a directory is removed; each try takes what is there.
const TRIES: u32 = 200;

/// Something under a name, which whoever made it removes at the end of an ordinary run.
pub enum Left {
    /// A directory with everything in it.
    Directory(PathBuf),
    /// A file.
    File(PathBuf),
    /// A message queue.
    Queue(CString),
}

/// What was made in this run. What is gone already does no harm here.
static LEFT: Mutex<Vec<Left>> = Mutex::new(Vec::new());

/// Remembers something, to be called before it is made.
pub fn remember(left: Left) {
    // A panic between two of these cannot leave half a list.
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(left);
}

/// Removes all that was remembered.
pub fn remove() {
    for left in LEFT.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        match left {
            Left::Directory(path) => {
                for _ in 0..TRIES {
                    if std::fs::remove_dir_all(path).is_ok() || !path.exists() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Left::File(path) => {
                let _gone_or_not = std::fs::remove_file(path);
            }
            Left::Queue(name) => mqueue::unlink(name),
        }
    }
}

/// From now on Ctrl-C, a hang-up and a polite kill remove all that before they end this process, and its peers with it.
pub fn remove_on_signals() -> io::Result<()> {
    let mut signals = Signals::new(wharf_sys::signal::ending())?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            remove();
            // Ends this process by the signal itself, so that its parent sees the truth.
            let _ended = signal_hook::low_level::emulate_default_handler(signal);
            std::process::exit(1);
        }
    })?;
    Ok(())
}
