//! Sleeping on a word, and the barrier that one side pays for both.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use wharf_sys::barrier;
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::futex::{self, FutexWake};
use wharf_sys::memory::{self, Access, Mapping};

use crate::forked::{End, alone, fork, skipped};

fn word(mapping: &Mapping) -> &AtomicU32 {
    // SAFETY: the mapping is a whole page, aligned, and its words are used as atomics only.
    unsafe { AtomicU32::from_ptr(mapping.as_ptr().cast()) }
}

#[test]
fn a_changed_word_is_not_slept_on_and_a_deadline_passes() -> io::Result<()> {
    let word = AtomicU32::new(1);
    for shared in [false, true] {
        assert_eq!(futex::wait(&word, 0, None, shared)?, FutexWake::Changed);
        let start = Instant::now();
        let wait = Some(Deadline::after(Duration::from_millis(20)));
        assert_eq!(futex::wait(&word, 1, wait, shared)?, FutexWake::TimedOut);
        assert!(start.elapsed() >= Duration::from_millis(20));
        let passed = Some(Deadline::at(Instant::from_nanos(1)));
        assert_eq!(futex::wait(&word, 1, passed, shared)?, FutexWake::TimedOut);
        assert_eq!(futex::wake(&word, 1, shared)?, 0);
    }
    Ok(())
}

#[test]
fn a_thread_is_woken_and_a_never_passing_deadline_does_not_pass() -> io::Result<()> {
    let word = AtomicU32::new(0);
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| futex::wait(&word, 0, Some(Deadline::after(Duration::MAX)), false));
        let until = Deadline::after(Duration::from_secs(5));
        while futex::wake(&word, u32::MAX, false)? == 0 && !until.passed() {
            thread::yield_now();
        }
        assert!(matches!(sleeper.join(), Ok(Ok(FutexWake::Woken))));
        Ok(())
    })
}

#[test]
fn another_process_is_woken_through_a_read_only_mapping() -> io::Result<()> {
    let _alone = alone();
    let memfd = memory::memfd("word")?;
    memory::reserve(&memfd, 4096)?;
    let mine = Mapping::map(memfd.as_fd(), 4096, Access::ReadWrite)?;
    let child = fork(|| {
        let view = Mapping::map(memfd.as_fd(), 4096, Access::ReadOnly)?;
        while word(&view).load(Ordering::Acquire) == 0 {
            futex::wait(word(&view), 0, Some(Deadline::after(Duration::from_secs(5))), true)?;
        }
        Ok(())
    })?;
    let until = Deadline::after(Duration::from_secs(5));
    while futex::wake(word(&mine), 0, true)? == 0 && !until.passed() {
        // Asleep at last? A wake before the store changes nothing: the child looks again and sleeps.
        if futex::wake(word(&mine), 1, true)? == 1 {
            break;
        }
        thread::yield_now();
    }
    word(&mine).store(1, Ordering::Release);
    futex::wake(word(&mine), 1, true)?;
    assert_eq!(child.wait()?, End::Exit(0));
    Ok(())
}

extern "C" fn ignore(_signal: i32) {}

#[test]
fn signals_do_not_stretch_a_deadline_or_end_a_wait() -> io::Result<()> {
    let _alone = alone();
    let child = fork(|| {
        let handler = ignore as extern "C" fn(i32);
        // SAFETY: installs a handler that does nothing, in a process of one thread.
        unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        let word = AtomicU32::new(0);
        let start = Instant::now();
        let wait = Some(Deadline::after(Duration::from_millis(200)));
        assert_eq!(futex::wait(&word, 0, wait, false)?, FutexWake::TimedOut);
        assert!(start.elapsed() >= Duration::from_millis(200));
        assert!(start.elapsed() < Duration::from_secs(5));
        Ok(())
    })?;
    // The first may come before the handler is there, so wait a moment.
    thread::sleep(Duration::from_millis(50));
    for _ in 0..100 {
        child.signal(rustix::process::Signal::USR1)?;
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(child.wait()?, End::Exit(0));
    Ok(())
}

#[test]
fn registration_is_remembered_and_renewed_in_a_forked_child() -> io::Result<()> {
    let _alone = alone();
    let soon = Deadline::after(Duration::from_secs(20));
    if !barrier::register_by(soon) {
        assert!(!soon.passed() && !barrier::register(), "the answer is remembered");
        skipped("registration_is_remembered_and_renewed_in_a_forked_child", "no membarrier here");
        return Ok(());
    }
    assert!(barrier::register() && barrier::is_registered());
    barrier::global_expedited()?;
    let end = fork(|| {
        // What the kernel itself has noted (Linux 6.3): bit 2 is the global expedited registration.
        // SAFETY: asks, and changes nothing.
        let noted = unsafe { libc::syscall(libc::SYS_membarrier, 1 << 9, 0, 0) };
        if noted >= 0 {
            assert_ne!(noted & 4, 0, "{noted:#x}");
        }
        assert!(barrier::register());
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn a_process_without_the_call_says_so() -> io::Result<()> {
    let _alone = alone();
    let end = fork(|| {
        forbid_membarrier()?;
        assert!(barrier::global_expedited().is_err());
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

/// Makes membarrier fail with ENOSYS in this process, as on a kernel without it.
fn forbid_membarrier() -> io::Result<()> {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_membarrier as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: sets one flag of this process.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the filter points to a program of the length it says, which the call copies.
    let failed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Two threads that each say something and then look at the other's word: with the barrier on one side and nothing but
/// the order of the compiler on the other, never do both look too early.
#[test]
fn a_private_barrier_orders_the_other_threads_of_this_process() -> io::Result<()> {
    let soon = Deadline::after(Duration::from_secs(20));
    while !barrier::register_private() && barrier::register_by(soon) && !soon.passed() {
        // On a crowded machine the kernel takes its time.
        thread::yield_now();
    }
    if !barrier::register_private() {
        skipped(
            "a_private_barrier_orders_the_other_threads_of_this_process",
            io::Error::from(io::ErrorKind::Unsupported),
        );
        return Ok(());
    }
    const ROUNDS: u32 = 2_000;
    #[repr(align(128))]
    struct Apart(AtomicU32);
    let words: [Apart; 3] = [const { Apart(AtomicU32::new(0)) }; 3];
    let [quick, slow, quick_saw] = &words;
    thread::scope(|scope| {
        // Says a number, then notes what the other had said; as often as it can.
        let quick_side = scope.spawn(|| {
            let mut said = 0_u64;
            // Ends when the slow side has said its last.
            loop {
                said += 1;
                quick.0.store(said as u32, Ordering::Relaxed);
                std::sync::atomic::compiler_fence(Ordering::SeqCst);
                let saw = slow.0.load(Ordering::Relaxed);
                quick_saw.0.store(saw, Ordering::Release);
                if saw == ROUNDS {
                    return said;
                }
            }
        });
        for round in 1..=ROUNDS {
            slow.0.store(round, Ordering::Relaxed);
            barrier::private_expedited()?;
            let seen = quick.0.load(Ordering::Relaxed);
            // Whatever the quick side says after what we saw, it says having seen this round. Two more of its turns, or
            // its end, and its note must be of this round or later.
            let until = Deadline::after(Duration::from_secs(5));
            while quick.0.load(Ordering::Acquire).wrapping_sub(seen) < 2 && !quick_side.is_finished() {
                assert!(!until.passed(), "the quick side stands still");
                std::hint::spin_loop();
            }
            assert!(quick_saw.0.load(Ordering::Acquire) >= round, "looked too early in round {round}");
        }
        assert!(quick_side.join().is_ok_and(|said| said > 0));
        Ok(())
    })
}
