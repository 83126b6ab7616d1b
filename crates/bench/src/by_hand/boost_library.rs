//! Boost.Interprocess's locks, where it is installed: a few lines of C++ compiled once in a run, when the first contender wants them.
#![allow(unsafe_code)]

use crate::by_hand::mapped::Mapped;
use crate::contender::failed;
use crate::leavings::{self, Left};
use std::ffi::{CStr, CString, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

const SOURCE: &str = r#"
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_sharable_mutex.hpp>
#include <new>
using Mutex = boost::interprocess::interprocess_mutex;
using RwLock = boost::interprocess::interprocess_sharable_mutex;
static_assert(sizeof(Mutex) <= 56 && alignof(Mutex) <= 64, "it does not fit its place");
static_assert(sizeof(RwLock) <= 192 && alignof(RwLock) <= 64, "it does not fit its place");
static Mutex *mutex(void *at) { return static_cast<Mutex *>(at); }
static RwLock *rwlock(void *at) { return static_cast<RwLock *>(at); }
extern "C" int bench_mutex_make(void *at) noexcept { new (at) Mutex; return 1; }
extern "C" int bench_mutex_lock(void *at) noexcept { mutex(at)->lock(); return 1; }
extern "C" int bench_mutex_try_lock(void *at) noexcept { return mutex(at)->try_lock(); }
extern "C" int bench_mutex_unlock(void *at) noexcept { mutex(at)->unlock(); return 1; }
extern "C" int bench_rwlock_make(void *at) noexcept { new (at) RwLock; return 1; }
extern "C" int bench_rwlock_read(void *at) noexcept { rwlock(at)->lock_sharable(); return 1; }
extern "C" int bench_rwlock_read_end(void *at) noexcept { rwlock(at)->unlock_sharable(); return 1; }
extern "C" int bench_rwlock_write(void *at) noexcept { rwlock(at)->lock(); return 1; }
extern "C" int bench_rwlock_try_write(void *at) noexcept { return rwlock(at)->try_lock(); }
extern "C" int bench_rwlock_write_end(void *at) noexcept { rwlock(at)->unlock(); return 1; }
"#;

/// Names another directory with headers than the system's.
const ELSEWHERE: &str = "BOOST_INCLUDE";
const SYSTEM: &str = "/usr/include";
/// Beside the objects, for those who join: where the library is.
const NOTE: &str = "boost-library";

/// What became of the attempt to compile: the library in a directory of its own, or why these contenders are left out.
static COMPILED: Mutex<Option<Result<PathBuf, String>>> = Mutex::new(None);

fn absent(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, reason)
}

/// The compiled library, or why there is none; tried once in a process.
fn compiled() -> io::Result<PathBuf> {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*compiled {
        return known.clone().map_err(absent);
    }
    // Not beside the lock: code may often not be loaded from memory-backed directories.
    let directory = tempfile::Builder::new().prefix("wharf-bench-boost-").tempdir()?.keep();
    leavings::remember(Left::Directory(directory.clone()));
    let library = directory.join("boost.so");
    let include = std::env::var_os(ELSEWHERE).map_or_else(|| PathBuf::from(SYSTEM), PathBuf::from);
    let outcome = compile(&include, &library).map(|()| library);
    if outcome.is_err() {
        std::fs::remove_dir_all(&directory)?;
    }
    compiled.insert(outcome).clone().map_err(absent)
}

/// Removes what was compiled. To be called at the end of a run.
pub fn sweep() {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Ok(library)) = compiled.take() {
        let directory = library.parent().unwrap_or(&library);
        if let Err(error) = std::fs::remove_dir_all(directory) {
            eprintln!("{} could not be removed: {error}", directory.display());
        }
    }
}

fn compile(include: &Path, library: &Path) -> Result<(), String> {
    if !include.join("boost/interprocess").is_dir() {
        let include = include.display();
        return Err(format!("not installed: no {include}/boost/interprocess; {ELSEWHERE} can name another directory"));
    }
    let source = library.with_extension("cpp");
    std::fs::write(&source, SOURCE).map_err(|error| format!("{}: {error}", source.display()))?;
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++17", "-O2", "-fPIC", "-shared", "-pthread"]);
    // The system's own directory must keep its place behind those of the compiler, or the C++ headers do not find the C ones.
    if include != Path::new(SYSTEM) {
        compiler.arg("-isystem").arg(include);
    }
    match compiler.arg(&source).arg("-o").arg(library).output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            let first = said.lines().find(|line| line.contains("error")).unwrap_or("no word of an error");
            Err(format!("g++ did not compile it: {first}"))
        }
        Err(error) => Err(format!("there is no g++: {error}")),
    }
}

/// Any function of the source: it gets an object's place, and says yes or no.
type Act = unsafe extern "C" fn(*mut c_void) -> c_int;

/// A loaded library, which stays loaded until the process ends.
#[derive(Clone, Copy)]
struct Loaded(*mut c_void);

impl Loaded {
    fn load(library: &Path) -> io::Result<Loaded> {
        let path = CString::new(library.as_os_str().as_bytes())?;
        // SAFETY: the path ends with a zero byte; the library is the one compiled from the source above, and runs nothing
        // when it is loaded.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        if handle.is_null() {
            Err(failed(format!("{} cannot be loaded", library.display())))
        } else {
            Ok(Loaded(handle))
        }
    }

    fn function(self, name: &CStr) -> io::Result<Act> {
        // SAFETY: the library was loaded by `load` and is never unloaded; the name ends with a zero byte.
        let at = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if at.is_null() {
            return Err(failed(format!("the compiled library has no {name:?}")));
        }
        // SAFETY: the source above defines every function whose name begins with `bench_` with this signature, and no
        // other is asked for.
        Ok(unsafe { std::mem::transmute::<*mut c_void, Act>(at) })
    }
}

/// Where an object lies.
struct Place {
    memory: Arc<Mapped>,
    offset: usize,
}

impl Place {
    fn new(memory: &Arc<Mapped>, offset: usize, len: usize) -> Place {
        assert!(offset.is_multiple_of(64) && offset + len <= memory.len());
        Place { memory: Arc::clone(memory), offset }
    }

    #[inline(always)]
    fn act(&self, act: Act) -> bool {
        // SAFETY: the place is mapped, aligned and large enough (`new`; the source asserts the sizes), its memory lives, and
        // the function is one for the kind of object that is there, or makes it: each type below has only those.
        unsafe { act(self.memory.at(self.offset).cast()) != 0 }
    }
}

/// Memory with room for such objects, and the library that serves them.
pub struct Objects {
    memory: Arc<Mapped>,
    code: Loaded,
}

impl Objects {
    /// Compiles the library if nobody has, and makes memory for objects in the directory `at`.
    pub fn create(at: &Path, len: usize) -> io::Result<Objects> {
        let library = compiled()?;
        std::fs::write(at.join(NOTE), library.as_os_str().as_bytes())?;
        let memory = Arc::new(Mapped::create(&at.join("boost"), len)?);
        Ok(Objects { memory, code: Loaded::load(&library)? })
    }

    /// Finds what was made there.
    pub fn open(at: &Path) -> io::Result<Objects> {
        let code = Loaded::load(Path::new(&std::fs::read_to_string(at.join(NOTE))?))?;
        Ok(Objects { memory: Arc::new(Mapped::open(&at.join("boost"))?), code })
    }

    /// The memory.
    pub fn memory(&self) -> &Arc<Mapped> {
        &self.memory
    }
}

/// `interprocess_mutex`.
pub struct BoostMutex {
    place: Place,
    lock: Act,
    try_lock: Act,
    unlock: Act,
}

impl BoostMutex {
    /// How many bytes it has at most.
    pub const LEN: usize = 56;

    /// Makes a free one at this place, which nobody uses yet.
    pub fn make(objects: &Objects, offset: usize) -> io::Result<BoostMutex> {
        let mutex = BoostMutex::find(objects, offset)?;
        mutex.place.act(objects.code.function(c"bench_mutex_make")?);
        Ok(mutex)
    }

    /// The one that was made at this place.
    pub fn find(objects: &Objects, offset: usize) -> io::Result<BoostMutex> {
        let function = |name| objects.code.function(name);
        Ok(BoostMutex {
            place: Place::new(&objects.memory, offset, BoostMutex::LEN),
            lock: function(c"bench_mutex_lock")?,
            try_lock: function(c"bench_mutex_try_lock")?,
            unlock: function(c"bench_mutex_unlock")?,
        })
    }

    /// Takes it.
    #[inline(always)]
    pub fn lock(&self) {
        self.place.act(self.lock);
    }

    /// Takes it if it is free.
    pub fn try_lock(&self) -> bool {
        self.place.act(self.try_lock)
    }

    /// Gives it back; to be called by the thread that took it.
    #[inline(always)]
    pub fn unlock(&self) {
        self.place.act(self.unlock);
    }
}

/// `interprocess_sharable_mutex`.
pub struct BoostRwLock {
    place: Place,
    read: Act,
    read_end: Act,
    write: Act,
    try_write: Act,
    write_end: Act,
}

impl BoostRwLock {
    /// How many bytes it has at most.
    pub const LEN: usize = 192;

    /// Makes a free one at this place, which nobody uses yet.
    pub fn make(objects: &Objects, offset: usize) -> io::Result<BoostRwLock> {
        let function = |name| objects.code.function(name);
        let lock = BoostRwLock {
            place: Place::new(&objects.memory, offset, BoostRwLock::LEN),
            read: function(c"bench_rwlock_read")?,
            read_end: function(c"bench_rwlock_read_end")?,
            write: function(c"bench_rwlock_write")?,
            try_write: function(c"bench_rwlock_try_write")?,
            write_end: function(c"bench_rwlock_write_end")?,
        };
        lock.place.act(function(c"bench_rwlock_make")?);
        Ok(lock)
    }

    /// Takes it as a reader.
    #[inline(always)]
    pub fn read(&self) {
        self.place.act(self.read);
    }

    /// Gives it back as a reader.
    #[inline(always)]
    pub fn read_end(&self) {
        self.place.act(self.read_end);
    }

    /// Takes it as a writer.
    #[inline(always)]
    pub fn write(&self) {
        self.place.act(self.write);
    }

    /// Takes it as a writer if it is free.
    pub fn try_write(&self) -> bool {
        self.place.act(self.try_write)
    }

    /// Gives it back as a writer.
    #[inline(always)]
    pub fn write_end(&self) {
        self.place.act(self.write_end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_headers_it_says_where_it_looked_and_how_to_look_elsewhere() {
        let empty = tempfile::tempdir().expect("a directory");
        let reason = compile(empty.path(), &empty.path().join("boost.so")).expect_err("there is nothing");
        assert!(reason.contains(&*empty.path().to_string_lossy()), "{reason}");
        assert!(reason.contains(ELSEWHERE), "{reason}");
    }
}
