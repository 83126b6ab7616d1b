//! What pthreads offer to processes that share memory: mutexes, a lock for readers, a condition variable, a semaphore.
//!
//! Each object lies in a mapping that it keeps alive, and is made by one side and found there by the other.
#![allow(unsafe_code)]

use crate::by_hand::mapped::Mapped;
use std::io;
use std::sync::Arc;

/// Which attributes a mutex has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For the threads of one process.
    Plain,
    /// For several processes.
    Shared,
    /// For several processes, and it tells when its owner died.
    Robust,
    /// The same, and its owner may take it again.
    RobustRecursive,
}

fn checked(error: i32) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// True if it was got, false if somebody else has it.
fn tried(error: i32) -> io::Result<bool> {
    match error {
        libc::EBUSY => Ok(false),
        other => checked(other).map(|()| true),
    }
}

/// An object of type `T` at a place in shared memory.
struct Object<T> {
    at: *mut T,
    _memory: Arc<Mapped>,
}

impl<T> Object<T> {
    fn new(memory: &Arc<Mapped>, offset: usize) -> Object<T> {
        let at = memory.at(offset).cast::<T>();
        assert!(at.is_aligned() && offset + size_of::<T>() <= memory.len());
        Object { at, _memory: Arc::clone(memory) }
    }
}

/// A mutex.
pub struct Mutex(Object<libc::pthread_mutex_t>);

impl Mutex {
    /// Makes a free one at this place.
    pub fn make(memory: &Arc<Mapped>, offset: usize, kind: Kind) -> io::Result<Mutex> {
        let mutex = Mutex::find(memory, offset);
        // SAFETY: the attributes are integers, for which all bits zero is a valid value before `init`.
        let mut attributes: libc::pthread_mutexattr_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live local.
        checked(unsafe { libc::pthread_mutexattr_init(&mut attributes) })?;
        if kind != Kind::Plain {
            let shared = libc::PTHREAD_PROCESS_SHARED;
            // SAFETY: the attributes were initialised above.
            checked(unsafe { libc::pthread_mutexattr_setpshared(&mut attributes, shared) })?;
        }
        if matches!(kind, Kind::Robust | Kind::RobustRecursive) {
            let robust = libc::PTHREAD_MUTEX_ROBUST;
            // SAFETY: the attributes were initialised above.
            checked(unsafe { libc::pthread_mutexattr_setrobust(&mut attributes, robust) })?;
        }
        if kind == Kind::RobustRecursive {
            let recursive = libc::PTHREAD_MUTEX_RECURSIVE;
            // SAFETY: the attributes were initialised above.
            checked(unsafe { libc::pthread_mutexattr_settype(&mut attributes, recursive) })?;
        }
        // SAFETY: the place is mapped, aligned and large enough (`Object::new`), and nobody uses it yet.
        checked(unsafe { libc::pthread_mutex_init(mutex.0.at, &attributes) })?;
        Ok(mutex)
    }

    /// The one that was made at this place.
    pub fn find(memory: &Arc<Mapped>, offset: usize) -> Mutex {
        Mutex(Object::new(memory, offset))
    }

    /// Takes it.
    #[inline]
    pub fn lock(&self) -> io::Result<()> {
        // SAFETY: it was made at this place, does not move, and its memory lives.
        checked(unsafe { libc::pthread_mutex_lock(self.0.at) })
    }

    /// Takes it if it is free.
    pub fn try_lock(&self) -> io::Result<bool> {
        // SAFETY: as in `lock`.
        tried(unsafe { libc::pthread_mutex_trylock(self.0.at) })
    }

    /// Gives it back; to be called by the thread that took it.
    #[inline]
    pub fn unlock(&self) -> io::Result<()> {
        // SAFETY: as in `lock`.
        checked(unsafe { libc::pthread_mutex_unlock(self.0.at) })
    }
}

/// A lock for readers and writers of several processes.
pub struct RwLock(Object<libc::pthread_rwlock_t>);

impl RwLock {
    /// Makes a free one at this place.
    pub fn make(memory: &Arc<Mapped>, offset: usize) -> io::Result<RwLock> {
        let lock = RwLock(Object::new(memory, offset));
        // SAFETY: the attributes are integers, for which all bits zero is a valid value before `init`.
        let mut attributes: libc::pthread_rwlockattr_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live local.
        checked(unsafe { libc::pthread_rwlockattr_init(&mut attributes) })?;
        // SAFETY: the attributes were initialised above.
        checked(unsafe { libc::pthread_rwlockattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED) })?;
        // SAFETY: the place is mapped, aligned and large enough (`Object::new`), and nobody uses it yet.
        checked(unsafe { libc::pthread_rwlock_init(lock.0.at, &attributes) })?;
        Ok(lock)
    }

    /// Takes it as a reader.
    #[inline]
    pub fn read(&self) -> io::Result<()> {
        // SAFETY: it was made at this place, does not move, and its memory lives.
        checked(unsafe { libc::pthread_rwlock_rdlock(self.0.at) })
    }

    /// Takes it as a writer.
    #[inline]
    pub fn write(&self) -> io::Result<()> {
        // SAFETY: as in `read`.
        checked(unsafe { libc::pthread_rwlock_wrlock(self.0.at) })
    }

    /// Takes it as a writer if it is free.
    pub fn try_write(&self) -> io::Result<bool> {
        // SAFETY: as in `read`.
        tried(unsafe { libc::pthread_rwlock_trywrlock(self.0.at) })
    }

    /// Gives it back.
    #[inline]
    pub fn unlock(&self) -> io::Result<()> {
        // SAFETY: as in `read`.
        checked(unsafe { libc::pthread_rwlock_unlock(self.0.at) })
    }
}

/// A condition variable of several processes.
pub struct Cond(Object<libc::pthread_cond_t>);

impl Cond {
    /// Makes one at this place.
    pub fn make(memory: &Arc<Mapped>, offset: usize) -> io::Result<Cond> {
        let cond = Cond::find(memory, offset);
        // SAFETY: the attributes are integers, for which all bits zero is a valid value before `init`.
        let mut attributes: libc::pthread_condattr_t = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a live local.
        checked(unsafe { libc::pthread_condattr_init(&mut attributes) })?;
        // SAFETY: the attributes were initialised above.
        checked(unsafe { libc::pthread_condattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED) })?;
        // SAFETY: the place is mapped, aligned and large enough (`Object::new`), and nobody uses it yet.
        checked(unsafe { libc::pthread_cond_init(cond.0.at, &attributes) })?;
        Ok(cond)
    }

    /// The one that was made at this place.
    pub fn find(memory: &Arc<Mapped>, offset: usize) -> Cond {
        Cond(Object::new(memory, offset))
    }

    /// Gives `mutex` back, waits, and takes it again.
    pub fn wait(&self, mutex: &Mutex) -> io::Result<()> {
        // SAFETY: both were made at their places, do not move, and their memory lives.
        checked(unsafe { libc::pthread_cond_wait(self.0.at, mutex.0.at) })
    }

    /// Wakes one that waits.
    pub fn signal(&self) -> io::Result<()> {
        // SAFETY: as in `wait`.
        checked(unsafe { libc::pthread_cond_signal(self.0.at) })
    }
}

/// A semaphore of several processes.
pub struct Sem(Object<libc::sem_t>);

impl Sem {
    /// Makes one at zero at this place.
    pub fn make(memory: &Arc<Mapped>, offset: usize) -> io::Result<Sem> {
        let sem = Sem::find(memory, offset);
        // SAFETY: the place is mapped, aligned and large enough (`Object::new`), and nobody uses it yet.
        match unsafe { libc::sem_init(sem.0.at, 1, 0) } {
            0 => Ok(sem),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The one that was made at this place.
    pub fn find(memory: &Arc<Mapped>, offset: usize) -> Sem {
        Sem(Object::new(memory, offset))
    }

    /// Adds one.
    pub fn post(&self) -> io::Result<()> {
        // SAFETY: it was made at this place, does not move, and its memory lives.
        match unsafe { libc::sem_post(self.0.at) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Takes one away, waiting for it.
    pub fn wait(&self) -> io::Result<()> {
        // Bound: each further turn is one signal delivered.
        loop {
            // SAFETY: as in `post`.
            if unsafe { libc::sem_wait(self.0.at) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}
