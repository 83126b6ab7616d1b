//! Browsers in a room: one port that serves one page, and the WebSocket that the page opens.
//!
//! Here is the port with those who ask at it; what they are answered is in `answer.rs`, and the line of one that came in in
//! `browser.rs`.

mod answer;
mod browser;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::Request;
use wharf::{Endpoint, Readable};

use self::answer::{Answer, answer, refusal};
use self::browser::Browser;
use super::guest::{Guests, MOST_GUESTS};
use crate::compare::secret::Secret;
use crate::failure::Failure;
use crate::network::reachable_at;

/// The most bytes of a request. Browsers send cookies of other programs on this machine along.
const MOST_OF_A_REQUEST: usize = 8 << 10;

/// The most requests at once that are not complete. The oldest gives way.
const MOST_REQUESTS: usize = 32;

/// How long a request may take, its answer included.
const REQUEST: Duration = Duration::from_secs(5);

/// The port that browsers leave out when they name it.
const USUAL_PORT: u16 = 80;

/// See the top of the file.
pub(super) struct Web {
    listener: Readable<TcpListener>,
    at: SocketAddr,
    /// The names by which browsers may call this port; none: any.
    names: Vec<String>,
    token: Secret,
    requests: Vec<Asking>,
}

/// Somebody whose request is not answered yet.
struct Asking {
    stream: Readable<TcpStream>,
    head: Vec<u8>,
    came: Instant,
    answer: Vec<u8>,
    sent: usize,
}

/// What is to become of somebody.
enum Fate {
    Stays,
    Goes,
    /// It is a guest from now on.
    Guest,
}

impl Web {
    /// Listens at `HOST:PORT`; beyond this machine only when that was asked for.
    pub(super) fn open(place: &str, insecure: bool) -> Result<Web, Failure> {
        let odd = |why: String| Failure::Usage(format!("--web {place}: {why}"));
        let at: SocketAddr = match place.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}").parse(),
            None => place.parse(),
        }
        .map_err(|_| odd("write an address and a port, as 127.0.0.1:8080".to_owned()))?;
        if !at.ip().to_canonical().is_loopback() && !insecure {
            return Err(odd(format!(
                "{} leads beyond this machine, where everybody on the way can read and change what is said: use 127.0.0.1, or ask \
                 for it with --insecure",
                at.ip()
            )));
        }
        let failed = |error: io::Error| Failure::Failed(format!("cannot listen at {at}: {error}"));
        let listener = TcpListener::bind(at).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let at = listener.local_addr().map_err(failed)?;
        let token = Secret::new().map_err(|trouble| Failure::Failed(trouble.to_string()))?;
        Ok(Web { listener: Readable(listener), at, names: names(at), token, requests: Vec::new() })
    }

    /// What a browser opens.
    pub(super) fn link(&self) -> String {
        format!("http://{}/?token={}", reachable_at(&self.at.to_string()), self.token.text())
    }

    pub(super) fn parts(&mut self) -> Vec<Box<dyn Endpoint + '_>> {
        let mut parts: Vec<Box<dyn Endpoint + '_>> = vec![Box::new(&mut self.listener)];
        for asking in self.requests.iter_mut().filter(|asking| asking.answer.is_empty()) {
            parts.push(Box::new(&mut asking.stream));
        }
        parts
    }

    /// When it wants to be looked at without anything to wait for.
    pub(super) fn next_look(&self) -> Option<Duration> {
        let answering = self.requests.iter().any(|asking| !asking.answer.is_empty());
        match (answering, self.requests.is_empty()) {
            (true, _) => Some(Duration::from_millis(10)),
            (false, false) => Some(REQUEST / 10),
            (false, true) => None,
        }
    }

    /// Answers whoever asks, and takes in whoever may come in.
    pub(super) fn serve(&mut self, guests: &mut Guests) {
        // As many at once as are kept; the rest have their turn.
        for _ in 0..MOST_REQUESTS {
            // What fails on a connection that has just come fails because it has gone again.
            let Ok((stream, _)) = self.listener.0.accept() else { break };
            if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
                continue;
            }
            if self.requests.len() == MOST_REQUESTS {
                self.requests.remove(0);
            }
            let came = Instant::now();
            self.requests.push(Asking {
                stream: Readable(stream),
                head: Vec::new(),
                came,
                answer: Vec::new(),
                sent: 0,
            });
        }
        let mut at = 0;
        // Each round goes on to the next, or takes one away.
        while let Some(asking) = self.requests.get_mut(at) {
            let fate = asking.go_on(|request| answer(&self.names, &self.token, request));
            let late = asking.came.elapsed() > REQUEST;
            match fate {
                Fate::Stays if !late => at += 1,
                Fate::Stays | Fate::Goes => drop(self.requests.remove(at)),
                Fate::Guest => guests.take(Box::new(Browser::new(self.requests.remove(at).stream.0))),
            }
        }
    }
}

/// The names by which browsers may call this port; none: any.
fn names(at: SocketAddr) -> Vec<String> {
    if !at.ip().to_canonical().is_loopback() {
        return Vec::new();
    }
    let mut names = vec![at.to_string(), format!("localhost:{}", at.port())];
    if at.port() == USUAL_PORT {
        let bare: Vec<String> = names.iter().filter_map(|name| name.strip_suffix(":80").map(str::to_owned)).collect();
        names.extend(bare);
    }
    names
}

impl Asking {
    fn go_on(&mut self, judge: impl Fn(&Request) -> Answer) -> Fate {
        if self.answer.is_empty() {
            let mut piece = [0; 2048];
            let mut ended = false;
            // Ends when nothing more is there, or with too much.
            loop {
                match self.stream.0.read(&mut piece) {
                    // Whoever says no more may still hear the answer to what is whole.
                    Ok(0) => {
                        ended = true;
                        break;
                    }
                    Ok(read) => self.head.extend_from_slice(piece.get(..read).unwrap_or(&[])),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return Fate::Goes,
                }
                if self.head.len() > MOST_OF_A_REQUEST {
                    break;
                }
            }
            let answer = match Request::try_parse(&self.head) {
                Ok(None) if ended => return Fate::Goes,
                Ok(None) if self.head.len() <= MOST_OF_A_REQUEST => return Fate::Stays,
                Ok(None) => refusal("431 Request Header Fields Too Large", "the request is too long"),
                Ok(Some((_, request))) => judge(&request),
                Err(_) => refusal("400 Bad Request", "this is no request that is understood here"),
            };
            self.answer = answer.bytes;
            if answer.opens {
                // Its first message comes after the answer: what it sent along is none.
                let whole = self.stream.0.write(&self.answer).is_ok_and(|written| written == self.answer.len());
                return if whole { Fate::Guest } else { Fate::Goes };
            }
        }
        // Ends when all is sent, or nothing more is taken.
        while let Some(rest) = self.answer.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.0.write(rest) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Fate::Stays,
                Err(_) => return Fate::Goes,
            }
        }
        Fate::Goes
    }
}

const _: () = assert!(MOST_REQUESTS + MOST_GUESTS < 256);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_port_is_called_without_its_number_as_well() {
        let at = |text: &str| names(text.parse().expect("an address"));
        assert_eq!(at("127.0.0.1:8080"), ["127.0.0.1:8080", "localhost:8080"]);
        assert_eq!(at("127.0.0.1:80"), ["127.0.0.1:80", "localhost:80", "127.0.0.1", "localhost"]);
        assert_eq!(at("[::1]:80"), ["[::1]:80", "localhost:80", "[::1]", "localhost"]);
        assert_eq!(at("0.0.0.0:80"), [""; 0]);
    }

    #[test]
    fn whoever_says_no_more_is_answered_what_it_has_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        for (request, expected) in [("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 403 "), ("GET / HTTP/1.1\r\n", "")]
        {
            let mut asker = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
            let (stream, _) = listener.accept().expect("it has come");
            asker.write_all(request.as_bytes()).expect("room");
            asker.shutdown(std::net::Shutdown::Write).expect("it is open");
            // All of it is there, and its end: this waits for both.
            let mut asking = Asking {
                stream: Readable(stream),
                head: Vec::new(),
                came: Instant::now(),
                answer: Vec::new(),
                sent: 0,
            };
            assert!(matches!(asking.go_on(|_| refusal("403 Forbidden", "no")), Fate::Goes));
            drop(asking);
            let answer = io::read_to_string(asker).expect("text");
            assert!(answer.starts_with(expected) && answer.is_empty() == expected.is_empty(), "{answer}");
        }
    }
}
