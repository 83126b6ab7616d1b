//! Uncontended locks: pthread mutexes of three kinds, and the standard library's.
#![allow(unsafe_code)]

use crate::contender::failed;
use crate::solo::Solo;
use std::cell::UnsafeCell;
use std::hint::black_box;
use std::io;
use std::sync::Mutex;

/// Which attributes a pthread mutex has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For the threads of one process.
    Plain,
    /// For several processes.
    Shared,
    /// For several processes, and it tells when its owner died.
    Robust,
}

/// A counter under a pthread mutex.
pub struct Pthread {
    kind: Kind,
    /// Boxed, because a pthread mutex must not move.
    lock: Box<UnsafeCell<libc::pthread_mutex_t>>,
    counter: u64,
}

fn checked(error: i32) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

impl Pthread {
    /// A new, unlocked mutex.
    pub fn new(kind: Kind) -> io::Result<Pthread> {
        let lock = Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
        // SAFETY: the attributes are integers, for which all bits zero is a valid value before `init`.
        let mut attributes: libc::pthread_mutexattr_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live local.
        checked(unsafe { libc::pthread_mutexattr_init(&mut attributes) })?;
        if kind != Kind::Plain {
            let shared = libc::PTHREAD_PROCESS_SHARED;
            // SAFETY: the attributes were initialised above.
            checked(unsafe { libc::pthread_mutexattr_setpshared(&mut attributes, shared) })?;
        }
        if kind == Kind::Robust {
            let robust = libc::PTHREAD_MUTEX_ROBUST;
            // SAFETY: the attributes were initialised above.
            checked(unsafe { libc::pthread_mutexattr_setrobust(&mut attributes, robust) })?;
        }
        // SAFETY: both are live and initialised, and the mutex is in use by nobody.
        checked(unsafe { libc::pthread_mutex_init(lock.get(), &attributes) })?;
        Ok(Pthread { kind, lock, counter: 0 })
    }
}

impl Drop for Pthread {
    fn drop(&mut self) {
        // SAFETY: the mutex is initialised, unlocked and in use by nobody.
        unsafe { libc::pthread_mutex_destroy(self.lock.get()) };
    }
}

impl Solo for Pthread {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Plain => "pthread mutex",
            Kind::Shared => "pthread process-shared",
            Kind::Robust => "pthread robust",
        }
    }

    fn run(&mut self, operations: u64) -> io::Result<()> {
        for _ in 0..operations {
            // SAFETY: the mutex is initialised and does not move.
            checked(unsafe { libc::pthread_mutex_lock(self.lock.get()) })?;
            self.counter = black_box(self.counter + 1);
            // SAFETY: this thread locked it just above.
            checked(unsafe { libc::pthread_mutex_unlock(self.lock.get()) })?;
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        let before = self.counter;
        self.run(10)?;
        // SAFETY: the mutex is initialised and does not move.
        checked(unsafe { libc::pthread_mutex_lock(self.lock.get()) })?;
        // SAFETY: as above; it must refuse, because it is locked. (A robust or plain one does not tell
        // owners apart in `trylock`.)
        let second = unsafe { libc::pthread_mutex_trylock(self.lock.get()) };
        // SAFETY: this thread locked it just above.
        checked(unsafe { libc::pthread_mutex_unlock(self.lock.get()) })?;
        match (self.counter - before, second) {
            (10, libc::EBUSY) => Ok(()),
            other => Err(failed(format!("expected 10 and EBUSY, found {other:?}"))),
        }
    }
}

/// A counter under the standard library's mutex, for threads only.
#[derive(Default)]
pub struct StdMutex(Mutex<u64>);

impl Solo for StdMutex {
    fn name(&self) -> &'static str {
        "std::sync::Mutex"
    }

    fn run(&mut self, operations: u64) -> io::Result<()> {
        let lock = black_box(&self.0);
        for _ in 0..operations {
            let mut counter = lock.lock().map_err(|_| failed("poisoned"))?;
            *counter = black_box(*counter + 1);
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        self.run(10)?;
        match *self.0.lock().map_err(|_| failed("poisoned"))? {
            10.. => Ok(()),
            count => Err(failed(format!("expected at least 10, found {count}"))),
        }
    }
}
