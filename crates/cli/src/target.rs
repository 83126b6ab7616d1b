//! Where a service or a queue is, as a user types it: at a name, or at an address.

use std::fmt;

use wharf::Transport;

use crate::meeting::{is_address, nearest_scheme, schemes};

/// What stands before a name that would otherwise be read as an address.
const NAME: &str = "name:";

/// See the top of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Where processes meet through their nodes.
    Name(String),
    /// Where one side listens; not checked yet but for its scheme.
    Address(String),
}

impl Target {
    /// Reads what was typed. Whoever types a scheme wrong would otherwise wait for somebody of that name.
    pub(crate) fn parse(text: &str) -> Result<Target, String> {
        if let Some(name) = text.strip_prefix(NAME) {
            return Ok(Target::Name(name.to_owned()));
        }
        if is_address(text) {
            return Ok(Target::Address(text.to_owned()));
        }
        let Some((scheme, rest)) = text.split_once(':').filter(|(word, _)| looks_like_a_scheme(word)) else {
            return Ok(Target::Name(text.to_owned()));
        };
        let known = schemes();
        let near = nearest_scheme(scheme).filter(|it| *it != Transport::Inproc);
        let near = near.map_or_else(String::new, |near| format!("; did you mean '{near}:{rest}'?"));
        Err(format!(
            "'{text}' begins with no known scheme ({known}), and a name with a colon is written '{NAME}{text}'{near}"
        ))
    }

    /// The name, or the address.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Target::Name(text) | Target::Address(text) => text,
        }
    }

    /// Whether it is a name.
    pub(crate) fn is_name(&self) -> bool {
        matches!(self, Target::Name(_))
    }

    /// A name as a user has to type it to mean this one.
    pub(crate) fn typed(name: &str) -> String {
        match Target::parse(name) {
            Ok(Target::Name(read)) if read == name => read,
            _ => format!("{NAME}{name}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a user may have meant a scheme: a letter, and then letters, digits and what else stands in schemes. Names that programs make
/// of other things (`robot/arm:left`, `10:30`) are names as they stand.
fn looks_like_a_scheme(word: &str) -> bool {
    word.starts_with(|it: char| it.is_ascii_alphabetic())
        && word.bytes().all(|it| it.is_ascii_alphanumeric() || b"+-.".contains(&it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        for address in ["tcp:127.0.0.1:7000", "unix:/tmp/a", "shm:a", "tls:h:1", "inproc:a", "mq:"] {
            assert_eq!(Target::parse(address), Ok(Target::Address(address.to_owned())));
        }
        for name in ["thumbnails", "a/b", "a/b:c", "10:30", ":x", "tcp", "", "größe:1", "a b:c", "a_b:c"] {
            assert_eq!(Target::parse(name), Ok(Target::Name(name.to_owned())));
            assert_eq!(Target::typed(name), name);
        }
        for (typed, name) in [("name:a:b", "a:b"), ("name:tcp:1", "tcp:1"), ("name:name:x", "name:x")] {
            assert_eq!(Target::parse(typed), Ok(Target::Name(name.to_owned())));
            assert_eq!(Target::typed(name), typed);
        }
        assert_eq!(Target::parse("name:a"), Ok(Target::Name("a".to_owned())));
    }

    #[test]
    fn a_scheme_that_nobody_knows_is_refused_and_the_one_that_was_meant_offered() {
        let said = |text: &str| Target::parse(text).expect_err("no such scheme");
        for (text, near) in [
            ("tpc:127.0.0.1:4000", "tcp:127.0.0.1:4000"),
            ("unxi:/tmp/x", "unix:/tmp/x"),
            ("SHM:x", "shm:x"),
            ("pipes:x", "pipe:x"),
            ("w:h:1", "ws:h:1"),
        ] {
            let said = said(text);
            assert!(said.contains(&format!("; did you mean '{near}'?")), "{said}");
            assert!(said.starts_with(&format!(
                "'{text}' begins with no known scheme (shm:, unix:, pipe:, mq:, tcp:, tls:, ws:)"
            )));
            assert!(said.contains(&format!("is written 'name:{text}';")), "{said}");
        }
        for text in ["a:b", "http://localhost:80", "udp:127.0.0.1:4000", "inprocs:x"] {
            let said = said(text);
            assert!(!said.contains("did you mean") && said.contains("a name with a colon"), "{said}");
        }
    }
}
