//! Whom a listener of `ws:` lets open a WebSocket: by path, by the origin of a web page, by a token in the request.

use tungstenite::handshake::server::Request;

use crate::address::Address;
use crate::error::ConnectError;
use crate::options::{Options, Secret};
use crate::transport::tcp;

/// See the top of the file.
pub(crate) struct Gate {
    /// The only path that may be asked for.
    path: String,
    /// The origins whose pages may, in small letters.
    origins: Vec<String>,
    token: Option<Secret>,
}

/// Why somebody may not: the status of the answer, and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Barred {
    pub(super) status: &'static str,
    pub(super) why: String,
}

impl Barred {
    pub(super) fn new(status: &'static str, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }
}

impl Gate {
    pub(super) fn new(address: &Address, options: &Options) -> Result<Self, ConnectError> {
        let (path, query) = split(address.path());
        if !query.is_empty() {
            return Err(ConnectError::Options(format!(
                "{address} has a query, which is for connecting: listen without it, and demand a token with token(..)"
            )));
        }
        let origins = options.origins.iter().map(|origin| read_origin(origin)).collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), origins, token: options.token.clone() })
    }

    /// Whether a request may open a WebSocket; if so, whether it has shown the token.
    pub(super) fn judge(&self, request: &Request) -> Result<bool, Barred> {
        let origins = request.headers().get_all("origin").iter();
        // Pages first: one that may not come in learns nothing about paths and tokens.
        for origin in origins {
            let origin = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
            if !self.origins.contains(&origin) {
                let why = format!(
                    "it is a page of '{}', whose pages are not admitted: admit them with allow_origin(..)",
                    shown(&origin)
                );
                return Err(Barred::new("403 Forbidden", why));
            }
        }
        if request.uri().path() != self.path {
            let why = format!("it asks for the path '{}', expected '{}'", shown(request.uri().path()), self.path);
            return Err(Barred::new("404 Not Found", why));
        }
        let (Some(token), Some(said)) = (&self.token, token_of(request.uri().query().unwrap_or(""))) else {
            return Ok(false);
        };
        match tcp::expect(token, &said) {
            Ok(()) => Ok(true),
            Err(error) => Err(Barred::new("403 Forbidden", error.to_string())),
        }
    }
}

/// A path without its query, and the query without its mark.
fn split(path: &str) -> (&str, &str) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    (if path.is_empty() { "/" } else { path }, query)
}

/// Checks an origin that is to be admitted: one that no browser ever says would admit nobody.
fn read_origin(origin: &str) -> Result<String, ConnectError> {
    let small = origin.to_ascii_lowercase();
    let host = small.split_once("://").map_or("", |(_, host)| host);
    let odd = |it: char| !it.is_ascii_graphic() || matches!(it, '/' | '?' | '#' | '@');
    if small == "null" || !host.is_empty() && !host.contains(odd) {
        return Ok(small);
    }
    Err(ConnectError::Options(format!(
        "'{}' is no origin: write SCHEME://HOST or SCHEME://HOST:PORT as the browser says it, or null",
        origin.escape_debug()
    )))
}

/// What a query says as `token`, its `%XX` resolved.
fn token_of(query: &str) -> Option<Vec<u8>> {
    let said = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    let mut token = Vec::new();
    let mut rest = said.as_bytes();
    // Every round takes a byte or three.
    while let Some((&first, behind)) = rest.split_first() {
        let coded = behind.first_chunk::<2>().and_then(|two| std::str::from_utf8(two).ok());
        match coded.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| first == b'%') {
            Some(byte) => {
                token.push(byte);
                rest = behind.get(2..).unwrap_or(&[]);
            }
            None => {
                token.push(first);
                rest = behind;
            }
        }
    }
    Some(token)
}

/// The beginning of what a stranger said, as it may be shown to people.
fn shown(text: &str) -> String {
    text.chars().take(80).map(|it| if it.is_control() { '?' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, origins: &[&str]) -> Request {
        let mut request = Request::new(());
        *request.uri_mut() = uri.parse().unwrap();
        for origin in origins {
            request.headers_mut().append("origin", origin.parse().unwrap());
        }
        request
    }

    fn gate(address: &str, options: Options) -> Gate {
        Gate::new(&Address::parse(address).unwrap(), &options).unwrap()
    }

    #[test]
    fn pages_come_in_by_their_origin_only() {
        let gate = gate("ws:localhost:1", Options::new().allow_origin("http://Good:80").allow_origin("null"));
        for good in [&[][..], &["http://good:80"], &["HTTP://GOOD:80"], &["null"]] {
            assert_eq!(gate.judge(&request("/", good)), Ok(false), "{good:?}");
        }
        for bad in [&["http://good"][..], &["http://good:80/"], &["https://good:80"], &[""], &["null", "http://evil"]] {
            assert_eq!(gate.judge(&request("/", bad)).unwrap_err().status, "403 Forbidden", "{bad:?}");
        }
        // It learns nothing else.
        assert!(gate.judge(&request("/x", &["http://evil"])).unwrap_err().why.contains("http://evil"));
    }

    #[test]
    fn paths_and_tokens() {
        let gate = gate("ws:localhost:1/a", Options::new().token("o pen&"));
        for (uri, verdict) in [
            ("/a", Ok(false)),
            ("/a?x=1", Ok(false)),
            ("/a?token=o%20pen%26", Ok(true)),
            ("/a?x&token=o%20pen%26&y", Ok(true)),
            ("/a?token=o%20pen", Err("403 Forbidden")),
            ("/a?token=", Err("403 Forbidden")),
            ("/a?token=%", Err("403 Forbidden")),
            ("/a?token=%zz%2", Err("403 Forbidden")),
            ("/", Err("404 Not Found")),
            ("/a/", Err("404 Not Found")),
        ] {
            assert_eq!(gate.judge(&request(uri, &[])).map_err(|barred| barred.status), verdict, "{uri}");
        }
        let barred = gate.judge(&request("/a?token=guess", &[])).unwrap_err();
        assert!(!barred.why.contains("guess") && !barred.why.contains("pen&"), "{}", barred.why);
    }

    #[test]
    fn origins_that_no_browser_says() {
        for odd in ["", "good", "http://", "http://good/", "http://a b", "http://ä", "http://u@good", "NULL "] {
            let address = Address::parse("ws:localhost:1").unwrap();
            let refused = Gate::new(&address, &Options::new().allow_origin(odd)).err().expect(odd).to_string();
            assert!(refused.contains("no origin"), "{refused}");
        }
        let query = Address::parse("ws:localhost:1/?token=x").unwrap();
        assert!(Gate::new(&query, &Options::new()).is_err());
    }
}
