//! What a request is answered with: a matter of its words alone.
//!
//! Who may come in: whoever has the link, with its token; over the WebSocket moreover only a page of this very port (its origin),
//! or a program, which says no origin. A host by another name than this one is refused, so no other name can be made to lead here.

use tungstenite::handshake::server::{self, Request};

use crate::compare::secret::Secret;

/// The page; `{{NONCE}}` stands for a word that lets its own style and program be used, and no others.
const PAGE: &str = include_str!("page.html");

/// An answer, and whether it opens a WebSocket.
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    pub(super) opens: bool,
}

pub(super) fn refusal(status: &str, why: &str) -> Answer {
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
pub(super) fn answer(names: &[String], token: &Secret, request: &Request) -> Answer {
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

#[cfg(test)]
mod tests {
    use tungstenite::handshake::machine::TryParse;

    use super::*;

    fn judged(request: &str) -> (String, bool) {
        let token = Secret::of("0123456789abcdef0123456789abcdef".to_owned()).expect("a token");
        let names = ["127.0.0.1:80", "localhost:80", "127.0.0.1", "localhost"].map(str::to_owned);
        let request = request.replace("TOKEN", token.text()).replace('\n', "\r\n") + "\r\n\r\n";
        let (_, request) = Request::try_parse(request.as_bytes()).expect("a request").expect("a whole one");
        let answer = answer(&names, &token, &request);
        (String::from_utf8(answer.bytes).expect("text"), answer.opens)
    }

    const SOCKET: &str = "GET /socket?token=TOKEN HTTP/1.1\nHost: 127.0.0.1:80\nConnection: Upgrade\nUpgrade: websocket\n\
        Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn the_page_counts_as_who_hears_it_does() {
        use crate::chat::text::{MOST_NICK, MOST_TEXT};
        assert!(PAGE.contains(&format!("const MOST_BYTES = {MOST_TEXT}, MOST_NICK = {MOST_NICK};")));
        // A field counts units of UTF-16: a text has no more of them than bytes, a name at most two for a character.
        assert!(PAGE.contains(&format!("maxlength=\"{MOST_TEXT}\"")));
        assert!(PAGE.contains(&format!("maxlength=\"{}\"", 2 * MOST_NICK)));
    }

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
            (SOCKET.replace("127.0.0.1:80", "127.0.0.1") + "\nOrigin: http://127.0.0.1", "101"),
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
