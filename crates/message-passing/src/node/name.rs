//! Names of endpoints: hierarchical, checked, matched by wildcards, and written as the name of a folder.

use std::fmt::{self, Write};

use wharf_sys::directory::name_hash;

/// The longest name, in bytes.
pub(crate) const MAX_NAME_BYTES: usize = 255;

/// The longest name of a folder that is written out; what is longer is hashed. A file name may have 255 bytes.
const MAX_ESCAPED: usize = 200;

/// Stands for a name that is too long for a folder; `%` and a letter that is no hexadecimal digit never come out of escaping.
const LONG: &str = "%long-";

/// Where endpoints with wildcards are entered.
pub(super) const WILD_FOLDER: &str = "%wild";

/// What an endpoint is called, or which names a subscription means.
///
/// A name is 1 to 255 bytes long: parts separated by slashes, none of them empty, without control characters. In a
/// subscription a part may be `*`, which stands for any one part, and the last may be `**`, which stands for one or more.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Filter {
    text: Box<str>,
    wild: bool,
}

/// Which rule a name broke.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TopicNameError {
    /// It has no characters.
    Empty,
    /// It is too long.
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The most that it may have.
        limit: usize,
    },
    /// A part between two slashes, before the first or after the last is empty.
    EmptyPart {
        /// The name.
        name: String,
    },
    /// It contains a NUL, a line break or another control character.
    Control {
        /// The name.
        name: String,
    },
    /// A star where none may be: beside other characters, as `**` before the end, or in a name that must mean one thing.
    Star {
        /// The name.
        name: String,
    },
}

impl Filter {
    /// Checks a name that means one thing.
    pub(crate) fn exact(name: &str) -> Result<Filter, TopicNameError> {
        match Filter::new(name)? {
            filter if filter.wild => Err(TopicNameError::Star { name: name.to_owned() }),
            filter => Ok(filter),
        }
    }

    /// Checks a name in which stars may be.
    pub(crate) fn new(name: &str) -> Result<Filter, TopicNameError> {
        if name.is_empty() {
            return Err(TopicNameError::Empty);
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(TopicNameError::TooLong { len: name.len(), limit: MAX_NAME_BYTES });
        }
        if name.contains(char::is_control) {
            return Err(TopicNameError::Control { name: name.to_owned() });
        }
        let mut wild = false;
        let mut parts = name.split('/').peekable();
        while let Some(part) = parts.next() {
            match part {
                "" => return Err(TopicNameError::EmptyPart { name: name.to_owned() }),
                "*" => wild = true,
                "**" if parts.peek().is_none() => wild = true,
                part if part.contains('*') => return Err(TopicNameError::Star { name: name.to_owned() }),
                _ => {}
            }
        }
        Ok(Filter { text: name.into(), wild })
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it may mean several names.
    pub(crate) fn is_wild(&self) -> bool {
        self.wild
    }

    /// Whether it means this name, which contains no stars.
    pub(crate) fn matches(&self, name: &str) -> bool {
        if !self.wild {
            return *self.text == *name;
        }
        let mut theirs = name.split('/');
        for part in self.text.split('/') {
            match (part, theirs.next()) {
                ("**", Some(_)) => return true,
                ("*", Some(_)) => {}
                (part, Some(their)) if part == their => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }

    /// The folder in which it is entered.
    pub(super) fn folder(&self) -> String {
        if self.wild { WILD_FOLDER.to_owned() } else { folder_of(&self.text) }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The folder of a name: letters, digits, `_`, `-` and dots as they are, a slash as `+`, everything else as `%` and two
/// hexadecimal digits for each byte; a long name as its hash. Whoever finds it there compares the whole name, which is on
/// the board.
fn folder_of(name: &str) -> String {
    let mut folder = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => folder.push(char::from(byte)),
            // A dot in front hides a file, or means another folder.
            b'.' if at > 0 => folder.push('.'),
            b'/' => folder.push('+'),
            // Writing to a string cannot fail.
            _ => _ = write!(folder, "%{byte:02X}"),
        }
    }
    if folder.len() > MAX_ESCAPED { format!("{LONG}{:032x}", name_hash(name.as_bytes())) } else { folder }
}

/// The name that a folder stands for; `None` for one that is hashed, or that nobody here made.
pub(super) fn name_of(folder: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(folder.len());
    let mut rest = folder.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b'/'),
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
            }
            _ => bytes.push(byte),
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (folder_of(&name) == folder).then_some(name)
}

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicNameError::Empty => {
                write!(f, "expected a name, found nothing; use 1 to {MAX_NAME_BYTES} bytes such as camera/front")
            }
            TopicNameError::TooLong { len, limit } => {
                write!(f, "expected a name of at most {limit} bytes, found {len}; choose a shorter one")
            }
            TopicNameError::EmptyPart { name } => {
                write!(f, "expected parts with a slash between them, found {name:?}; leave out the surplus slash")
            }
            TopicNameError::Control { name } => write!(
                f,
                "expected a name without control characters, found {name:?}; use letters, digits, dots, dashes and slashes"
            ),
            TopicNameError::Star { name } => write!(
                f,
                "expected no star here, found {name:?}; in a subscription * stands for one whole part, and ** at the end \
                 for one or more"
            ),
        }
    }
}

impl std::error::Error for TopicNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_own_answer() {
        assert_eq!(Filter::new(""), Err(TopicNameError::Empty));
        assert!(matches!(Filter::new(&"x".repeat(256)), Err(TopicNameError::TooLong { len: 256, limit: 255 })));
        for name in ["/", "a/", "/a", "a//b"] {
            assert!(matches!(Filter::new(name), Err(TopicNameError::EmptyPart { .. })), "{name}");
        }
        assert!(matches!(Filter::new("a\nb"), Err(TopicNameError::Control { .. })));
        for name in ["a*", "**/a", "a/**/b", "***"] {
            assert!(matches!(Filter::new(name), Err(TopicNameError::Star { .. })), "{name}");
        }
        for name in ["*", "a/*", "**"] {
            assert!(Filter::new(name).unwrap().is_wild());
            assert!(matches!(Filter::exact(name), Err(TopicNameError::Star { .. })), "{name}");
        }
        for name in ["a", "../..", ".", "camera/front", "Größe/ß", &"x".repeat(255)] {
            assert!(Filter::exact(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn errors_are_one_line() {
        for bad in ["", "a//b", "a\nb", "a*", &"x".repeat(300)] {
            let text = Filter::new(bad).unwrap_err().to_string();
            assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
        }
    }

    #[test]
    fn stars_mean_whole_parts() {
        let matches = |filter: &str, name: &str| Filter::new(filter).unwrap().matches(name);
        for (filter, name) in
            [("a", "a"), ("*", "a"), ("a/*", "a/b"), ("*/b", "a/b"), ("**", "a/b/c"), ("a/**", "a/b/c")]
        {
            assert!(matches(filter, name), "{filter} {name}");
        }
        for (filter, name) in [("a", "b"), ("*", "a/b"), ("a/*", "a"), ("a/*", "a/b/c"), ("a/**", "a"), ("a/**", "b/c")]
        {
            assert!(!matches(filter, name), "{filter} {name}");
        }
    }

    #[test]
    fn a_folder_leads_back_to_its_name_and_nowhere_else() {
        for name in ["a", "camera/front", "..", ".hidden", "a.b", "a+b", "a%2Fb", "ä", "a b", "%wild"] {
            let folder = folder_of(name);
            assert!(!folder.starts_with('.') && !folder.contains('/'), "{folder}");
            assert_eq!(name_of(&folder).as_deref(), Some(name));
        }
        assert_eq!(folder_of("camera/front"), "camera+front");
        let long = "x/".repeat(127) + "x";
        assert!(folder_of(&long).starts_with(LONG) && folder_of(&long).len() < MAX_ESCAPED);
        for nobodys in [WILD_FOLDER, &folder_of(&long), "%2f", "%", "%4", "%61", "a%zz"] {
            assert_eq!(name_of(nobodys), None, "{nobodys}");
        }
    }
}
