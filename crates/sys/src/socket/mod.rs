//! Sockets: connect, listen, accept, who is there, bytes and descriptors; Unix ones, and TCP.
//!
//! Every send and receive names its own waiting behaviour (`MSG_DONTWAIT` or one blocking call), so no
//! flag of the file description matters, and none raises SIGPIPE.

mod connect;
mod credentials;
mod internet;
mod message;
mod rights;
mod stream;

pub use connect::{
    Half, Kind, accept, connect, connect_now, kind_of, listen_at, pair, send_buffer, set_buffers, shutdown,
};
pub(crate) use connect::{bind_in, is_alive, listen};
pub use credentials::{Credentials, my_gid, my_uid, note_senders, overflow_uid, peer_credentials, sender_of_next};
pub use internet::{
    connect_tcp, fix_send_buffer, listen_tcp, raise_send_buffer, set_keep_alive, set_no_delay, set_unsent_limit,
    tcp_address, tcp_peer,
};
pub use message::{
    Arrival, MAX_DESCRIPTORS, Received, peek, recv, recv_arrival, recv_arrival_blocking, recv_blocking,
    recv_everything, recv_with_fds, send, send_blocking, send_parts, send_parts_with_fds, send_with_fds,
};
pub use rights::{discard, forget_linger, refuse_descriptors};
pub use stream::recv_stream;
