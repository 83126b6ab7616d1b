//! Words and commands that a user can type into a shell as they stand.

use std::borrow::Cow;

/// A command in quotes, with this name as a shell takes it.
pub(crate) fn command(words: &[&str], name: &str, rest: &str) -> String {
    let line = format!("{} {}{rest}", words.join(" "), quoted(name));
    // The quotes around it are not part of it.
    let quote = if line.contains('\'') { '"' } else { '\'' };
    format!("{quote}{line}{quote}")
}

/// The word as a shell takes it.
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |it: char| it.is_alphanumeric() || "_-./:@%+,=".contains(it);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_as_it_stands() {
        for (name, said) in [
            ("robot/speed", "'wharf serve robot/speed -- COMMAND'"),
            ("bad name!", "\"wharf serve 'bad name!' -- COMMAND\""),
            ("it's", r#""wharf serve 'it'\''s' -- COMMAND""#),
            ("$(reboot)", "\"wharf serve '$(reboot)' -- COMMAND\""),
        ] {
            assert_eq!(command(&["wharf", "serve"], name, " -- COMMAND"), said);
        }
        for (word, said) in [("/a/b.c", "/a/b.c"), ("", "''"), ("a b", "'a b'"), ("tls:[::1]:7000", "'tls:[::1]:7000'")]
        {
            assert_eq!(quoted(word), said);
        }
    }
}
