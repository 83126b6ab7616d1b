//! A name: what users call a region or an endpoint.

use std::fmt;

/// The longest name in bytes. A file name may have 255; the rest is for suffixes.
const MAX_LEN: usize = 200;

/// A checked name: 1 to 200 bytes, no slash, no control character, no dot at the start.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(Box<str>);

/// Which rule a name broke.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NameError {
    /// It has no characters.
    Empty,
    /// It contains a slash.
    Slash {
        /// The name.
        name: String,
    },
    /// It contains a NUL, a line break or another control character.
    Control {
        /// The name.
        name: String,
    },
    /// It begins with a dot.
    LeadingDot {
        /// The name.
        name: String,
    },
    /// It is too long.
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The most that a name may have.
        limit: usize,
    },
}

impl Name {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Name, NameError> {
        if name.is_empty() {
            Err(NameError::Empty)
        } else if name.len() > MAX_LEN {
            Err(NameError::TooLong { len: name.len(), limit: MAX_LEN })
        } else if name.contains('/') {
            Err(NameError::Slash { name: name.to_owned() })
        } else if name.contains(char::is_control) {
            Err(NameError::Control { name: name.to_owned() })
        } else if name.starts_with('.') {
            Err(NameError::LeadingDot { name: name.to_owned() })
        } else {
            Ok(Name(name.into()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Name, NameError> {
        Name::new(name)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => f.write_str("expected a name, found nothing; use 1 to 200 bytes without a slash"),
            NameError::Slash { name } => {
                write!(
                    f,
                    "expected a name without a slash, found {name:?}; names do not form folders, use a dot or a dash"
                )
            }
            NameError::Control { name } => {
                write!(
                    f,
                    "expected a name without control characters, found {name:?}; use letters, digits, dots and dashes"
                )
            }
            NameError::LeadingDot { name } => {
                write!(f, "expected a name that does not begin with a dot, found {name:?}; leave the dot out")
            }
            NameError::TooLong { len, limit } => {
                write!(f, "expected a name of at most {limit} bytes, found {len}; choose a shorter one")
            }
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_own_answer() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert!(matches!(Name::new("a/b"), Err(NameError::Slash { .. })));
        assert!(matches!(Name::new("a\0b"), Err(NameError::Control { .. })));
        assert!(matches!(Name::new("a\nb"), Err(NameError::Control { .. })));
        assert!(matches!(Name::new(".."), Err(NameError::LeadingDot { .. })));
        assert!(Name::new(&"x".repeat(200)).is_ok());
        assert_eq!(Name::new(&"x".repeat(201)), Err(NameError::TooLong { len: 201, limit: 200 }));
        assert!(Name::new("hits-1.é ~").is_ok());
    }

    #[test]
    fn errors_are_one_line() {
        for bad in ["", "a/b", "a\nb", ".x", &"x".repeat(300)] {
            let text = Name::new(bad).map_or_else(|error| error.to_string(), |_| String::new());
            assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
        }
    }
}
