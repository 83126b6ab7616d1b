//! The words on a process's command line: verbs first, then settings written `key=value`.

use std::str::FromStr;

/// The part that a process plays, as its command line tells it.
#[derive(Clone, Debug, Default)]
pub struct Words {
    plain: Vec<String>,
    settings: Vec<(String, String)>,
}

impl Words {
    /// Sorts words into plain ones and settings.
    pub fn new(words: impl IntoIterator<Item = String>) -> Words {
        let mut sorted = Words::default();
        for word in words {
            match word.split_once('=') {
                Some((key, value)) => sorted.settings.push((key.to_owned(), value.to_owned())),
                None => sorted.plain.push(word),
            }
        }
        sorted
    }

    /// The plain word at `place`; an error names what is missing.
    pub fn at(&self, place: usize, what: &str) -> Result<&str, String> {
        self.plain.get(place).map(String::as_str).ok_or_else(|| format!("missing: {what}"))
    }

    /// The value of setting `key`, when it is given.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// The value of setting `key` as a number, or `default`.
    pub fn number<T: FromStr>(&self, key: &str, default: T) -> Result<T, String> {
        let Some(value) = self.setting(key) else { return Ok(default) };
        value.parse().map_err(|_| format!("'{key}={value}' is not a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn words_and_settings_are_told_apart() {
        let words = ["link", "len=64", "send"].map(str::to_owned);
        let words = Words::new(words);
        assert_eq!(words.at(0, "verb"), Ok("link"));
        assert_eq!(words.at(1, "job"), Ok("send"));
        assert_eq!(words.at(2, "address"), Err("missing: address".to_owned()));
        assert_eq!(words.number("len", 1), Ok(64));
        assert_eq!(words.number("count", 7), Ok(7));
        assert!(Words::new(["len=x".to_owned()]).number("len", 1).is_err());
    }
}
