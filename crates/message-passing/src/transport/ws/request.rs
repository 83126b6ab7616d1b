//! How a WebSocket opens: one HTTP request, one answer. No input or output happens here.

use std::fmt::Write as _;
use std::mem;
use std::sync::Arc;

use tungstenite::handshake::client::{self, generate_key};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::{derive_accept_key, server};

use super::gate::{Barred, Gate};

/// The most bytes of a request, or of an answer. Browsers send cookies of other programs on this machine along.
const MOST_OF_A_HEAD: usize = 8 << 10;

/// The most of an answer's text that is shown.
const MOST_OF_A_REASON: usize = 200;

/// One side of a WebSocket that has not opened yet.
pub(super) enum Opening {
    Asked(Asked),
    Asking(Asking),
}

/// What has become of it.
#[derive(Debug)]
pub(super) enum Progress {
    /// More has to come.
    NotYet,
    /// It is open; what came behind the head belongs to its messages.
    Open { answer: Vec<u8>, behind: Vec<u8>, token_shown: bool },
    /// It does not open; the other side is told with this answer, if there is one.
    Failed { answer: Vec<u8>, why: String },
}

/// The side that is asked.
pub(super) struct Asked {
    gate: Arc<Gate>,
    head: Vec<u8>,
}

/// The side that asks.
pub(super) struct Asking {
    /// What the other side has to answer.
    key: String,
    /// The request, until it is taken.
    request: Vec<u8>,
    head: Vec<u8>,
}

impl Opening {
    /// Hears more; at most as much as [`room`](Self::room) says.
    pub(super) fn hear(&mut self, more: &[u8]) -> Progress {
        match self {
            Opening::Asked(asked) => asked.hear(more),
            Opening::Asking(asking) => asking.hear(more),
        }
    }

    /// How many bytes are taken at most.
    pub(super) fn room(&self) -> usize {
        let (Opening::Asked(Asked { head, .. }) | Opening::Asking(Asking { head, .. })) = self;
        MOST_OF_A_HEAD - head.len()
    }

    /// What is to be said first.
    pub(super) fn request(&mut self) -> Vec<u8> {
        match self {
            Opening::Asked(_) => Vec::new(),
            Opening::Asking(asking) => mem::take(&mut asking.request),
        }
    }
}

impl Asked {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self { gate, head: Vec::new() }
    }

    fn hear(&mut self, more: &[u8]) -> Progress {
        self.head.extend_from_slice(more);
        match self.judge() {
            Ok(None) => Progress::NotYet,
            Ok(Some((answer, len, token_shown))) => {
                Progress::Open { answer, behind: self.head.split_off(len), token_shown }
            }
            Err(Barred { status, why }) => {
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
                     X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{why}\n",
                    why.len() + 1
                );
                // Whoever does not speak HTTP is not answered in it.
                let answer = if self.head.starts_with(GET) { answer.into_bytes() } else { Vec::new() };
                Progress::Failed { answer, why }
            }
        }
    }

    /// The answer, how long the head was, and whether it has shown the token; `None` until the head is there.
    fn judge(&self) -> Result<Option<(Vec<u8>, usize, bool)>, Barred> {
        let begun = GET.get(..self.head.len().min(GET.len())).unwrap_or(GET);
        if !self.head.starts_with(begun) {
            let like = match self.head.as_slice() {
                [0x16, 0x03, ..] => ", but like TLS",
                [b'W', b'H', b'A', b'R', ..] => ", but like tcp:",
                _ => "",
            };
            return Err(Barred::new("400 Bad Request", format!("it does not begin as a WebSocket does{like}")));
        }
        let odd = |error: tungstenite::Error| {
            Barred::new("400 Bad Request", format!("it asks for no WebSocket that can be opened: {error}"))
        };
        let Some((len, request)) = server::Request::try_parse(&self.head).map_err(odd)? else {
            if self.head.len() == MOST_OF_A_HEAD {
                let why = format!("its request has more than {MOST_OF_A_HEAD} bytes");
                return Err(Barred::new("431 Request Header Fields Too Large", why));
            }
            return Ok(None);
        };
        let token_shown = self.gate.judge(&request)?;
        let response = server::create_response(&request)
            .map_err(|error| Barred { status: "426 Upgrade Required\r\nUpgrade: websocket", ..odd(error) })?;
        let mut answer = Vec::new();
        server::write_response(&mut answer, &response).map_err(odd)?;
        Ok(Some((answer, len, token_shown)))
    }
}

/// How every request begins that may open a WebSocket.
const GET: &[u8] = b"GET ";

impl Asking {
    pub(super) fn new(host: &str, path: &str) -> Self {
        let key = generate_key();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        Self { key: derive_accept_key(key.as_bytes()), request: request.into_bytes(), head: Vec::new() }
    }

    fn hear(&mut self, more: &[u8]) -> Progress {
        self.head.extend_from_slice(more);
        match self.judge() {
            Ok(None) => Progress::NotYet,
            Ok(Some(len)) => {
                Progress::Open { answer: Vec::new(), behind: self.head.split_off(len), token_shown: false }
            }
            Err(why) => Progress::Failed { answer: Vec::new(), why },
        }
    }

    /// How long the head was; `None` until it is there.
    fn judge(&self) -> Result<Option<usize>, String> {
        let no_socket = || "the other side speaks no WebSocket: use ws: on both sides".to_owned();
        let Some((len, response)) = client::Response::try_parse(&self.head).map_err(|_| no_socket())? else {
            return if self.head.len() == MOST_OF_A_HEAD { Err(no_socket()) } else { Ok(None) };
        };
        let status = response.status();
        if status != 101 {
            let mut why = format!("the other side opens no WebSocket: it says {status}");
            let text = String::from_utf8_lossy(self.head.get(len..).unwrap_or(&[]));
            let text: String = text.trim().chars().take(MOST_OF_A_REASON).filter(|it| !it.is_control()).collect();
            if !text.is_empty() {
                let _infallible = write!(why, " ({text})");
            }
            return Err(why);
        }
        let says = |name: &str, value: &str| {
            response.headers().get(name).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
        };
        let key = response.headers().get("Sec-WebSocket-Accept").is_some_and(|it| it.as_bytes() == self.key.as_bytes());
        if !says("Upgrade", "websocket") || !says("Connection", "upgrade") || !key {
            return Err("the other side answers as no WebSocket does".to_owned());
        }
        if response.headers().contains_key("Sec-WebSocket-Extensions")
            || response.headers().contains_key("Sec-WebSocket-Protocol")
        {
            return Err("the other side chose an extension or a protocol that nobody asked for".to_owned());
        }
        Ok(Some(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::options::Options;

    fn asked() -> Opening {
        let gate = Gate::new(&Address::parse("ws:localhost:1").unwrap(), &Options::new()).unwrap();
        Opening::Asked(Asked::new(Arc::new(gate)))
    }

    #[test]
    fn two_sides_that_hear_each_other_byte_by_byte() {
        let (mut asked, mut asking) = (asked(), Opening::Asking(Asking::new("localhost:1", "/")));
        let request = asking.request();
        assert!(asking.request().is_empty());
        let (last, first) = request.split_last().unwrap();
        assert!(first.iter().all(|byte| matches!(asked.hear(&[*byte]), Progress::NotYet)));
        let Progress::Open { answer, behind, .. } = asked.hear(&[*last, 7, 8]) else { panic!("it is complete") };
        assert_eq!(behind, [7, 8]);
        let (last, first) = answer.split_last().unwrap();
        assert!(first.iter().all(|byte| matches!(asking.hear(&[*byte]), Progress::NotYet)));
        let Progress::Open { behind, .. } = asking.hear(&[*last, 9]) else { panic!("it is complete") };
        assert_eq!(behind, [9]);
    }

    #[test]
    fn requests_that_are_none() {
        for (request, status) in [
            (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "426"),
            (b"GET / HTTP/1.0\r\n\r\n", "400"),
            (b"GET \x01 HTTP/1.1\r\n\r\n", "400"),
            (&[&b"GET /"[..], &[b'x'; MOST_OF_A_HEAD - 5]].concat(), "431"),
            (b"POST / HTTP/1.1\r\n\r\n", ""),
            (b"WHARFLNK", ""),
            (b"\x16\x03\x01", ""),
            (b"x", ""),
        ] {
            let Progress::Failed { answer, why } = asked().hear(request) else { panic!("{request:?} opened one") };
            let answer = String::from_utf8(answer).unwrap();
            let expected = if status.is_empty() { String::new() } else { format!("HTTP/1.1 {status} ") };
            assert!(answer.starts_with(&expected) && answer.is_empty() == status.is_empty(), "{answer}");
            assert!(!why.is_empty() && !why.contains(char::is_control), "{why:?}");
        }
    }

    #[test]
    fn answers_that_open_nothing() {
        for (answer, part) in [
            ("SSH-2.0-x\r\n", "no WebSocket"),
            ("HTTP/1.1 404 Not Found\r\n\r\nno \x1b[1msuch\r\npath\n", "404 Not Found (no [1msuchpath)"),
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                "as no WebSocket does",
            ),
        ] {
            let mut asking = Opening::Asking(Asking::new("localhost:1", "/"));
            let Progress::Failed { why, .. } = asking.hear(answer.as_bytes()) else { panic!("{answer} opened one") };
            assert!(why.contains(part) && !why.contains(char::is_control), "{why:?}");
        }
        let mut endless = Opening::Asking(Asking::new("localhost:1", "/"));
        let head = [&b"HTTP/1.1 101 x\r\nA: "[..], &[b'x'; MOST_OF_A_HEAD - 19]].concat();
        assert_eq!(endless.room(), head.len());
        assert!(matches!(endless.hear(&head), Progress::Failed { .. }));
    }
}
