//! What a good programmer would write by hand for one purpose: the figures to compare with.

pub mod ahead;
pub mod boost;
pub mod boost_library;
pub mod channel;
pub mod copy;
pub mod fifo;
pub mod frames;
pub mod futex;
pub mod handover;
pub mod locks;
pub mod mapped;
pub mod mqueue;
pub mod pthread;
pub mod ring;
pub mod rwlocks;
pub mod seqpacket;
pub mod shm_open;
pub mod tcp;
pub mod threads;
pub mod tls;
