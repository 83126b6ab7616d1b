//! Ctrl-C and its like, told to whoever waits, so that everything that is open is closed before the command ends by it.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use wharf::{Endpoint, Readable, Selector};

use crate::failure::Failure;

/// How long a wait that cannot hear of signals lasts at most: as long as Ctrl-C may take.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// The signals that end the command. The first one is told; a second one ends it where it stands.
pub(crate) struct Ending {
    /// The signal that came, or 0.
    signal: Arc<AtomicUsize>,
    /// Readable from then on: nobody reads it.
    told: Readable<UnixStream>,
}

impl Ending {
    /// From now on these signals are told here.
    pub(crate) fn watch() -> Result<Ending, Failure> {
        let watch = || -> io::Result<Ending> {
            let (told, tell) = UnixStream::pair()?;
            let (signal, second) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            for number in [SIGINT, SIGTERM, SIGHUP] {
                // In this order: the first signal finds `second` false, and sets it.
                flag::register_conditional_default(number, Arc::clone(&second))?;
                flag::register(number, Arc::clone(&second))?;
                flag::register_usize(number, Arc::clone(&signal), usize::try_from(number).unwrap_or_default())?;
                low_level::pipe::register(number, tell.try_clone()?)?;
            }
            Ok(Ending { signal, told: Readable(told) })
        };
        watch().map_err(|error| Failure::Failed(format!("cannot watch for Ctrl-C: {error}")))
    }

    /// Fails with the signal that came.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.signal.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Failure::Signal(i32::try_from(signal).unwrap_or(SIGTERM))),
        }
    }

    /// Waits so long; a signal ends it.
    pub(crate) fn pause(&mut self, limit: Duration) -> Result<(), Failure> {
        Selector::new().wait_timeout(&mut [(&mut self.told, ())], limit).map_err(cannot_wait)?;
        self.check()
    }

    /// Waits for a signal.
    pub(crate) fn wait(&mut self) -> Result<(), Failure> {
        // Ends with the signal: its byte comes after it is noted.
        loop {
            Selector::new().wait(&mut [(&mut self.told, ())]).map_err(cannot_wait)?;
            self.check()?;
        }
    }

    /// Waits until this is ready; a signal ends it.
    pub(crate) fn wait_with(&mut self, other: &mut dyn Endpoint) -> Result<(), Failure> {
        self.wait_for_any(&mut [other], None)
    }

    /// Waits until one of these is ready, at most so long; a signal ends it.
    pub(crate) fn wait_for_any(
        &mut self,
        others: &mut [&mut dyn Endpoint],
        limit: Option<Duration>,
    ) -> Result<(), Failure> {
        let mut list: Vec<(&mut dyn Endpoint, ())> = vec![(&mut self.told, ())];
        list.extend(others.iter_mut().map(|other| -> (&mut dyn Endpoint, ()) { (other, ()) }));
        let mut selector = Selector::new();
        match limit {
            None => selector.wait(&mut list).map_err(cannot_wait)?,
            Some(limit) => selector.wait_timeout(&mut list, limit).map_err(cannot_wait)?.unwrap_or(()),
        }
        self.check()
    }
}

fn cannot_wait(error: io::Error) -> Failure {
    Failure::Failed(format!("cannot wait: {error}"))
}
