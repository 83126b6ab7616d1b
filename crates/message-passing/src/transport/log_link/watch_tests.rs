//! When a sender whose messages find room learns that nobody is there any more.

use std::time::Duration;

use super::Pushed;
use super::sleep_tests::{Pair, pair};

/// Longer than a sender goes without a look at its peer.
const LONG: Duration = Duration::from_millis(110);

/// In the common case, where everything is known from the message before.
#[test]
fn a_slow_sender_learns_it_with_its_next_message() {
    let Pair { mut sender, receiver, _others } = pair();
    for _ in 0..5 {
        assert!(matches!(sender.push_quickly(&[7], &[]), Pushed::Yes));
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(LONG);
    drop((receiver, _others));
    assert!(matches!(sender.push_quickly(&[7], &[]), Pushed::No));
}

#[test]
fn a_sender_learns_it_with_one_of_its_next_messages_however_fast_it_was() {
    let Pair { mut sender, receiver, _others } = pair();
    for _ in 0..200 {
        assert!(matches!(sender.push_quickly(&[7], &[]), Pushed::Yes));
    }
    drop((receiver, _others));
    std::thread::sleep(LONG);
    let more = (0..100).take_while(|_| matches!(sender.push_quickly(&[7], &[]), Pushed::Yes)).count();
    assert!(more <= 32, "{more}");
}
