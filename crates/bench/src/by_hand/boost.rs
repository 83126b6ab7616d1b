//! Boost.Interprocess's mutex, where it is installed: a few lines of C++ compiled when the contender is made.
#![allow(unsafe_code)]

use crate::by_hand::mapped::Mapped;
use crate::contender::{Home, failed};
use crate::crowd::Crowd;
use crate::turn::Turn;
use std::ffi::{CStr, CString, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;

const SOURCE: &str = r#"
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <new>
using boost::interprocess::interprocess_mutex;
static_assert(sizeof(interprocess_mutex) <= 64 && alignof(interprocess_mutex) <= 64, "it does not fit its place");
static interprocess_mutex *mutex(void *at) { return static_cast<interprocess_mutex *>(at); }
extern "C" void bench_make(void *at) noexcept { new (at) interprocess_mutex; }
extern "C" void bench_lock(void *at) noexcept { mutex(at)->lock(); }
extern "C" int bench_try_lock(void *at) noexcept { return mutex(at)->try_lock(); }
extern "C" void bench_unlock(void *at) noexcept { mutex(at)->unlock(); }
"#;

/// The lock, on a line of its own, and its counter.
const LOCK: usize = 0;
const COUNTER: usize = 64;
const LEN: usize = 128;

/// Names another directory with headers than the system's.
const ELSEWHERE: &str = "BOOST_INCLUDE";

/// Boost's mutex for processes.
pub struct Boost;

/// A counter under it.
pub struct BoostTurn {
    memory: Mapped,
    lock: unsafe extern "C" fn(*mut c_void),
    try_lock: unsafe extern "C" fn(*mut c_void) -> c_int,
    unlock: unsafe extern "C" fn(*mut c_void),
    /// Removes the library with its directory; only in the process that compiled it.
    _library: Option<tempfile::TempDir>,
}

/// The directory of headers, or why this contender is left out.
fn headers() -> io::Result<PathBuf> {
    let include = std::env::var_os(ELSEWHERE).map_or_else(|| PathBuf::from("/usr/include"), PathBuf::from);
    if include.join("boost/interprocess").is_dir() {
        return Ok(include);
    }
    let include = include.display();
    let reason = format!("not installed: no {include}/boost/interprocess; {ELSEWHERE} can name another directory");
    Err(io::Error::new(io::ErrorKind::Unsupported, reason))
}

fn compile(include: &Path, library: &Path) -> io::Result<()> {
    let source = library.with_extension("cpp");
    std::fs::write(&source, SOURCE)?;
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++17", "-O2", "-fPIC", "-shared", "-pthread", "-isystem"]).arg(include);
    match compiler.arg(&source).arg("-o").arg(library).output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(failed(format!("g++ did not compile it: {}", String::from_utf8_lossy(&done.stderr)))),
        Err(error) => Err(io::Error::new(io::ErrorKind::Unsupported, format!("there is no g++: {error}"))),
    }
}

/// The address of a function in a library that stays loaded until the process ends.
fn function(library: *mut c_void, name: &CStr) -> io::Result<*mut c_void> {
    // SAFETY: the library was loaded by `load` and is never unloaded; the name ends with a zero byte.
    let at = unsafe { libc::dlsym(library, name.as_ptr()) };
    if at.is_null() { Err(failed(format!("the compiled library has no {name:?}"))) } else { Ok(at) }
}

fn load(memory: Mapped, library: &Path, make: bool) -> io::Result<BoostTurn> {
    let path = CString::new(library.as_os_str().as_bytes())?;
    // SAFETY: the path ends with a zero byte; the library is the one compiled from the source above, and runs nothing when
    // it is loaded.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    if handle.is_null() {
        return Err(failed(format!("{} cannot be loaded", library.display())));
    }
    type Act = unsafe extern "C" fn(*mut c_void);
    type Try = unsafe extern "C" fn(*mut c_void) -> c_int;
    let act = |name| -> io::Result<Act> {
        let at = function(handle, name)?;
        // SAFETY: the source above defines each function that is asked for by `act` with this signature.
        Ok(unsafe { std::mem::transmute::<*mut c_void, Act>(at) })
    };
    let at = function(handle, c"bench_try_lock")?;
    // SAFETY: the source above defines it with this signature.
    let try_lock = unsafe { std::mem::transmute::<*mut c_void, Try>(at) };
    if make {
        let make = act(c"bench_make")?;
        // SAFETY: the place is mapped, has 64 bytes on a page's start, and nobody uses it yet.
        unsafe { make(memory.at(LOCK).cast()) };
    }
    let (lock, unlock) = (act(c"bench_lock")?, act(c"bench_unlock")?);
    Ok(BoostTurn { memory, lock, try_lock, unlock, _library: None })
}

impl BoostTurn {
    #[inline(always)]
    fn lock(&self) {
        // SAFETY: the mutex was made at this place, does not move, and its memory lives.
        unsafe { (self.lock)(self.memory.at(LOCK).cast()) }
    }

    #[inline(always)]
    fn unlock(&self) {
        // SAFETY: as in `lock`; the caller has it.
        unsafe { (self.unlock)(self.memory.at(LOCK).cast()) }
    }
}

impl Turn for BoostTurn {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        self.lock();
        let counter = self.memory.word(COUNTER);
        // Relaxed, both: the lock orders them.
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.unlock();
        Ok(())
    }

    fn count(&mut self) -> io::Result<u64> {
        self.lock();
        // Relaxed: under the lock.
        let count = self.memory.word(COUNTER).load(Ordering::Relaxed);
        self.unlock();
        Ok(count)
    }

    fn excludes(&mut self) -> io::Result<bool> {
        self.lock();
        // SAFETY: as in `lock`.
        let again = unsafe { (self.try_lock)(self.memory.at(LOCK).cast()) };
        self.unlock();
        Ok(again == 0)
    }
}

impl Crowd for Boost {
    type Party = BoostTurn;

    fn name(&self) -> &'static str {
        "Boost.Interprocess"
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn open(&self, at: &Path) -> io::Result<BoostTurn> {
        let include = headers()?;
        // Not beside the lock: code may often not be loaded from memory-backed directories.
        let directory = tempfile::tempdir()?;
        let library = directory.path().join("boost.so");
        compile(&include, &library)?;
        std::fs::write(at.join("boost-library"), library.as_os_str().as_bytes())?;
        let made = load(Mapped::create(&at.join("boost"), LEN)?, &library, true)?;
        Ok(BoostTurn { _library: Some(directory), ..made })
    }

    fn join(&self, at: &Path) -> io::Result<BoostTurn> {
        let library = PathBuf::from(std::fs::read_to_string(at.join("boost-library"))?);
        load(Mapped::open(&at.join("boost"))?, &library, false)
    }
}
