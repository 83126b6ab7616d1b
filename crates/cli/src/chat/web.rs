//! Browsers in a room: one port that serves one page, and the WebSocket that the page opens.
//!
//! Who may come in: whoever has the link, with its token; over the WebSocket moreover only a page of this very port (its origin),
//! or a program, which says no origin. A host by another name than this one is refused, so no other name can be made to lead here.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{self, Request};
use tungstenite::protocol::{CloseFrame, Role, WebSocket, WebSocketConfig, frame::coding::CloseCode};
use tungstenite::{Error, Message};
use wharf::{Endpoint, Readable};

use super::guest::{Guests, Heard, Line, MOST_GUESTS, MOST_WAITING, MOST_WISH, Pace};
use super::words::Exit;
use crate::compare::secret::Secret;
use crate::failure::Failure;

/// The page; `{{NONCE}}` stands for a word that lets its own style and program be used, and no others.
const PAGE: &str = include_str!("page.html");

/// The most bytes of a request. Browsers send cookies of other programs on this machine along.
const MOST_OF_A_REQUEST: usize = 8 << 10;

/// The most requests at once that are not complete. The oldest gives way.
const MOST_REQUESTS: usize = 32;

/// Pings in a row of which notice is taken at once.
const MOST_PINGS: usize = 16;

/// How long a request may take, its answer included.
const REQUEST: Duration = Duration::from_secs(5);

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
        let names = match at.ip() {
            ip if !ip.to_canonical().is_loopback() => Vec::new(),
            _ => vec![at.to_string(), format!("localhost:{}", at.port())],
        };
        Ok(Web { listener: Readable(listener), at, names, token, requests: Vec::new() })
    }

    /// What a browser opens.
    pub(super) fn link(&self) -> String {
        let at = match self.at.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => format!("THIS-MACHINE:{}", self.at.port()),
            IpAddr::V6(ip) if ip.is_unspecified() => format!("THIS-MACHINE:{}", self.at.port()),
            _ => self.at.to_string(),
        };
        format!("http://{at}/?token={}", self.token.text())
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

/// An answer, and whether it opens a WebSocket.
struct Answer {
    bytes: Vec<u8>,
    opens: bool,
}

impl Asking {
    fn go_on(&mut self, judge: impl Fn(&Request) -> Answer) -> Fate {
        if self.answer.is_empty() {
            let mut piece = [0; 2048];
            // Ends when nothing more is there, or with too much.
            loop {
                match self.stream.0.read(&mut piece) {
                    Ok(0) => return Fate::Goes,
                    Ok(read) => self.head.extend_from_slice(piece.get(..read).unwrap_or(&[])),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => return Fate::Goes,
                }
                if self.head.len() > MOST_OF_A_REQUEST {
                    break;
                }
            }
            let answer = match Request::try_parse(&self.head) {
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

fn refusal(status: &str, why: &str) -> Answer {
    Answer {
        bytes: response(status, "text/plain; charset=utf-8", "default-src 'none'", &format!("{why}\n")),
        opens: false,
    }
}

fn response(status: &str, kind: &str, policy: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         Content-Security-Policy: {policy}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\n\
         Referrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What a request is answered with.
fn answer(names: &[String], token: &Secret, request: &Request) -> Answer {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = header("host").unwrap_or("").to_ascii_lowercase();
    if !names.is_empty() && !names.contains(&host) {
        return refusal("421 Misdirected Request", "this port goes by another name");
    }
    let own = format!("http://{host}");
    let mut origins = request.headers().get_all("origin").iter();
    if origins.any(|origin| !origin.as_bytes().eq_ignore_ascii_case(own.as_bytes())) {
        return refusal("403 Forbidden", "only the page of this port may ask for this");
    }
    let path = request.uri().path();
    if path != "/" && path != "/socket" {
        return refusal("404 Not Found", "there is one page here: /");
    }
    let said = request.uri().query().unwrap_or("").split('&').find_map(|pair| pair.strip_prefix("token="));
    if !said.is_some_and(|said| token.is(said.as_bytes())) {
        return refusal(
            "403 Forbidden",
            "open the link that 'wharf chat --web' printed: it has a token that is missing here",
        );
    }
    if path == "/socket" {
        let mut bytes = Vec::new();
        return match server::create_response(request).and_then(|it| server::write_response(&mut bytes, &it)) {
            Ok(()) => Answer { bytes, opens: true },
            Err(_) => refusal("426 Upgrade Required\r\nUpgrade: websocket", "this opens WebSockets only"),
        };
    }
    let Ok(nonce) = Secret::new() else { return refusal("500 Internal Server Error", "there are no random bytes") };
    let nonce = nonce.text();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src ws://{host}"
    );
    let page = PAGE.replace("{{NONCE}}", nonce);
    Answer { bytes: response("200 OK", "text/html; charset=utf-8", &policy, &page), opens: false }
}

/// A connection, which never waits.
struct Stream(Readable<TcpStream>);

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.0.read(bytes)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line to a browser.
struct Browser {
    socket: WebSocket<Stream>,
    over: Option<Exit>,
    /// Something of it is not sent yet.
    waits: bool,
}

impl Browser {
    fn new(stream: TcpStream) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(0)
            .max_write_buffer_size(MOST_WAITING)
            .max_message_size(Some(MOST_WISH))
            .max_frame_size(Some(MOST_WISH));
        Self {
            socket: WebSocket::from_raw_socket(Stream(Readable(stream)), Role::Server, Some(config)),
            over: None,
            waits: false,
        }
    }

    fn note(&mut self, outcome: Result<(), Error>) -> bool {
        match outcome {
            Ok(()) => self.waits = false,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => self.waits = true,
            Err(Error::WriteBufferFull(_)) => return false,
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => drop(self.over.get_or_insert(Exit::Left)),
            Err(_) => drop(self.over.get_or_insert(Exit::Died)),
        }
        true
    }
}

impl Line for Browser {
    fn pace(&self) -> Pace {
        // Faster than anybody types.
        Pace { at_once: 30.0, per_second: 10.0 }
    }

    fn shows(&self) -> bool {
        true
    }

    fn hear(&mut self) -> Heard {
        let mut next = self.socket.read();
        for _ in 0..MOST_PINGS {
            if !matches!(next, Ok(Message::Ping(_) | Message::Pong(_))) {
                break;
            }
            next = self.socket.read();
        }
        match next {
            Ok(Message::Text(text)) => Heard::Message(text.as_bytes().to_vec()),
            // Whoever says nothing but that waits until it says more.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Heard::Nothing,
            // A page that is closed says so; so does one that is left for another.
            Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Heard::Over(Exit::Left),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.over.map_or(Heard::Nothing, Heard::Over)
            }
            // Among them messages that are too large, and of bytes.
            Ok(Message::Binary(_)) | Err(_) => Heard::Over(Exit::Died),
        }
    }

    fn tell(&mut self, message: &[u8]) -> bool {
        let text = String::from_utf8_lossy(message).into_owned();
        let outcome = self.socket.write(Message::text(text));
        self.note(outcome)
    }

    fn flush(&mut self) -> bool {
        let outcome = self.socket.flush();
        self.note(outcome);
        self.waits
    }

    fn endpoint(&mut self) -> Box<dyn Endpoint + '_> {
        Box::new(&mut self.socket.get_mut().0)
    }

    fn close(&mut self) {
        let goodbye = CloseFrame { code: CloseCode::Away, reason: "".into() };
        // Whoever does not listen is gone all the same.
        let _said = self.socket.close(Some(goodbye));
    }
}

const _: () = assert!(MOST_REQUESTS + MOST_GUESTS < 256);

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(request: &str) -> (String, bool) {
        let token = Secret::of("0123456789abcdef0123456789abcdef".to_owned()).expect("a token");
        let names = ["127.0.0.1:80".to_owned(), "localhost:80".to_owned()];
        let request = request.replace("TOKEN", token.text()).replace('\n', "\r\n") + "\r\n\r\n";
        let (_, request) = Request::try_parse(request.as_bytes()).expect("a request").expect("a whole one");
        let answer = answer(&names, &token, &request);
        (String::from_utf8(answer.bytes).expect("text"), answer.opens)
    }

    const SOCKET: &str = "GET /socket?token=TOKEN HTTP/1.1\nHost: 127.0.0.1:80\nConnection: Upgrade\nUpgrade: websocket\n\
        Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn who_comes_in_and_who_does_not() {
        for (request, status) in [
            ("GET /?token=TOKEN HTTP/1.1\nHost: 127.0.0.1:80".to_owned(), "200"),
            ("GET /?token=TOKEN HTTP/1.1\nHost: LOCALHOST:80".to_owned(), "200"),
            ("GET / HTTP/1.1\nHost: 127.0.0.1:80".to_owned(), "403"),
            ("GET /?token=TOKE HTTP/1.1\nHost: 127.0.0.1:80".to_owned(), "403"),
            ("GET /?token=TOKEN HTTP/1.1\nHost: evil.example:80".to_owned(), "421"),
            ("GET /?token=TOKEN HTTP/1.1".to_owned(), "421"),
            ("GET /x?token=TOKEN HTTP/1.1\nHost: 127.0.0.1:80".to_owned(), "404"),
            (SOCKET.to_owned(), "101"),
            (format!("{SOCKET}\nOrigin: http://127.0.0.1:80"), "101"),
            (format!("{SOCKET}\nOrigin: http://localhost:80"), "403"),
            (format!("{SOCKET}\nOrigin: null"), "403"),
            (format!("{SOCKET}\nOrigin: http://127.0.0.1:80\nOrigin: http://evil.example"), "403"),
            (SOCKET.replace("token=TOKEN", ""), "403"),
            (SOCKET.replace("Upgrade: websocket\n", ""), "426"),
        ] {
            let (answer, opens) = judged(&request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
            assert_eq!(opens, status == "101");
        }
    }

    #[test]
    fn the_page_says_what_it_may_do_and_asks_for_nothing_else() {
        let (page, _) = judged("GET /?token=TOKEN HTTP/1.1\nHost: 127.0.0.1:80");
        let nonce = page.split("script-src 'nonce-").nth(1).and_then(|rest| rest.get(..32)).expect("a nonce");
        assert!(page.contains(&format!("<script nonce=\"{nonce}\">")) && page.contains("default-src 'none'"));
        assert!(!page.contains("{{NONCE}}") && !page.contains("innerHTML") && !page.contains("http-equiv"));
        let (other, _) = judged("GET /?token=TOKEN HTTP/1.1\nHost: 127.0.0.1:80");
        assert!(!other.contains(nonce), "two pages have one nonce");
    }
}
