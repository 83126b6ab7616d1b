//! Waiting: it ends in time, it wakes up, and it costs nothing where it must not.

use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{RecvError, Wait};
use wharf_sys::cpu;

use crate::world::{SOON, World, pattern};

const SHORT: Duration = Duration::from_millis(30);

pub(crate) fn timeouts(world: &World) {
    for wait in [Wait::Adaptive, Wait::Spin, Wait::Sleep] {
        let (mut tx, mut rx, _back) = world.one_way(&world.options().wait(wait).capacity(16 << 10));
        for limit in [Duration::ZERO, SHORT] {
            let began = Instant::now();
            assert!(matches!(rx.recv_timeout(limit), Err(RecvError::Timeout)), "{wait:?}");
            assert!(began.elapsed() >= limit, "{wait:?}");
        }
        assert!(matches!(rx.try_recv(), Err(RecvError::Empty)));
        let (mut accepted, _full) = world.fill(|number| tx.try_send(&pattern(number, 200)));
        for limit in [Duration::ZERO, SHORT] {
            accepted =
                world.wait_in_vain(accepted, limit, |number, limit| tx.send_timeout(&pattern(number, 200), limit));
        }
        for number in 0..accepted {
            assert_eq!(&*rx.recv_timeout(SOON).unwrap(), &pattern(number, 200)[..]);
        }
        // What timed out was not sent.
        assert!(matches!(rx.recv_timeout(SHORT), Err(RecvError::Timeout)));
        assert_eq!(tx.sent(), accepted as u64);
    }
}

pub(crate) fn wakes_a_sleeping_receiver(world: &World) {
    for wait in [Wait::Adaptive, Wait::Sleep] {
        for limit in [None, Some(SOON)] {
            let (mut tx, mut rx, _back) = world.one_way(&world.options().wait(wait));
            let receiving = thread::spawn(move || {
                let message = match limit {
                    None => rx.recv(),
                    Some(limit) => rx.recv_timeout(limit),
                };
                message.unwrap().to_vec()
            });
            // Long enough that it sleeps.
            thread::sleep(SHORT);
            tx.send(b"wake up").unwrap();
            assert_eq!(receiving.join().unwrap(), b"wake up");
        }
    }
}

pub(crate) fn one_processor(world: &World) {
    let cpu = *cpu::allowed().unwrap().first().unwrap();
    // The case has a thread of its own, so the others stay free; the threads started here inherit the one processor.
    cpu::pin_this_thread(cpu).unwrap();
    for wait in [Wait::Adaptive, Wait::Spin, Wait::Sleep] {
        let (mut here, mut there) = world.pair(&world.options().wait(wait));
        let echo = thread::spawn(move || {
            while let Ok(message) = here.recv() {
                let message = message.to_vec();
                here.send(&message).unwrap();
            }
        });
        for number in 0..200 {
            let message = pattern(number, number % 100);
            there.send(&message).unwrap();
            assert_eq!(&*there.recv_timeout(SOON).unwrap(), &message[..], "{wait:?}");
        }
        // Nothing comes: waiting must leave the processor to others.
        let before = busy();
        assert!(matches!(there.recv_timeout(Duration::from_millis(200)), Err(RecvError::Timeout)));
        let spent = busy() - before;
        assert!(spent < Duration::from_millis(40), "{wait:?} kept the only processor busy for {spent:?} of 200 ms");
        drop(there);
        echo.join().unwrap();
    }
}

/// The processor time of this thread.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}
