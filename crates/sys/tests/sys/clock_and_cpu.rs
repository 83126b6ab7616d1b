//! Processors that a thread may use, and the clock across processes.

use std::io;
use std::thread;

use wharf_sys::clock::Instant;
use wharf_sys::cpu;

use crate::forked::{End, alone, fork, skipped};

#[test]
fn spinning_does_not_pay_on_one_processor() -> io::Result<()> {
    thread::scope(|scope| {
        let pinned = scope.spawn(|| {
            let allowed = cpu::allowed()?;
            assert_eq!(cpu::count(), allowed.len());
            assert_eq!(cpu::spinning_pays(), allowed.len() > 1);
            let first = allowed.first().copied().ok_or(io::ErrorKind::NotFound)?;
            cpu::pin_this_thread(first)?;
            assert_eq!(cpu::allowed()?, [first]);
            assert!(!cpu::spinning_pays());
            assert!(!cpu::refresh());
            assert_eq!(cpu::confined_to(), Some(first));
            // Threads inherit the mask.
            let inherited = thread::spawn(cpu::spinning_pays).join();
            assert!(matches!(inherited, Ok(false)));

            cpu::pin_this_thread_apart(first)?;
            assert!(cpu::spinning_pays() && cpu::refresh());
            assert_eq!(cpu::confined_to(), Some(first));
            cpu::pin_this_thread(first)?;
            assert!(!cpu::spinning_pays());
            assert!(cpu::pin_this_thread(1_000_000).is_err());
            cpu::yield_to_everyone()
        });
        match pinned.join() {
            Ok(result) => result,
            Err(_) => panic!("see above"),
        }
    })?;
    if cpu::count() > 1 {
        assert!(cpu::spinning_pays(), "another thread's mask is another's");
        assert_eq!(cpu::confined_to(), None);
    }
    Ok(())
}

#[test]
fn a_mask_changed_from_outside_is_seen_after_a_look() -> io::Result<()> {
    if cpu::count() < 2 {
        skipped("a_mask_changed_from_outside_is_seen_after_a_look", "one processor only");
        return Ok(());
    }
    let done = thread::spawn(|| {
        assert!(cpu::spinning_pays());
        let mut set = rustix::thread::CpuSet::new();
        set.set(*cpu::allowed()?.first().ok_or(io::ErrorKind::NotFound)?);
        rustix::thread::sched_setaffinity(None, &set)?;
        assert!(!cpu::refresh());
        assert!(!cpu::spinning_pays());
        Ok::<(), io::Error>(())
    });
    assert!(matches!(done.join(), Ok(Ok(()))));
    Ok(())
}

#[test]
fn processes_share_one_clock() -> io::Result<()> {
    let _alone = alone();
    let before = Instant::now();
    let end = fork(|| {
        assert!(Instant::now() >= before);
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}
