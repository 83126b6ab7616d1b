//! `tcp:` — a stream over a TCP connection (docs/wire.md).

mod wire;

pub(crate) use self::wire::TcpWire;
