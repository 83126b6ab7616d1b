//! A log and its signals as a transport: what `shm:` and `inproc:` links are made of.
//!
//! Messages travel in the log. Signals travel beside it: a doorbell (a pipe, or the lifeline towards a peer that is not
//! trusted) wakes a sleeping receiver, a byte on the lifeline wakes a sender that waits for room or for its message to
//! be taken, and the end of either means that the peer is gone. While neither side sleeps there is no system call at all,
//! but for messages that carry descriptors, which travel over the lifeline ([`carrying`]).

mod carrying;
#[cfg(test)]
mod carrying_tests;
mod receiver;
mod sender;
#[cfg(test)]
mod sleep_tests;
mod waits;
#[cfg(test)]
mod wake_tests;
#[cfg(test)]
mod watch_tests;

use wharf_sys::doorbell::Bell;

pub(crate) use self::receiver::LogReceiver;
pub(crate) use self::sender::LogSender;

/// Where a receiver sleeps.
#[derive(Debug)]
pub(crate) enum Rest {
    /// At a pipe of this link alone, whose end says that the peer is gone.
    Bell(Bell),
    /// At the lifeline: the peer is not trusted with a pipe.
    Lifeline,
    /// At a bell for many links, which is somebody else's. Nobody waits here in a call; who waits there hears elsewhere that
    /// the peer is gone.
    Elsewhere,
}

/// What became of a quick push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The message is sent.
    Yes,
    /// Nothing was done; ask [`push`](super::SendTransport::push).
    No,
    /// The message is sent, and its receiver sleeps: [`wake`](LogSender::wake) it.
    ToASleeper,
}
