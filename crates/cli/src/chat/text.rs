//! What members may say, and how they and rooms may be called.

use unicode_width::UnicodeWidthChar;

use super::seen::alike;
use crate::failure::Failure;
use crate::printable::{hides, printable};

/// The longest message, in bytes.
pub(super) const MOST_TEXT: usize = 4096;

/// The longest nickname, in characters, and how wide it may be on a screen.
pub(super) const MOST_NICK: usize = 24;

/// Text as it is said: bounded, without line ends; `None` when nothing is left.
pub(super) fn said(text: &str) -> Option<String> {
    let mut end = text.len().min(MOST_TEXT);
    // At most three steps: a character has at most four bytes.
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or("").trim_end_matches(['\r', '\n']);
    (!text.trim().is_empty()).then(|| text.replace('\t', " "))
}

/// A nickname as it may be used, made of what somebody would like to be called: what is seen of it.
pub(super) fn nick(wish: &str) -> Option<String> {
    let sound = |it: &char| !hides(*it) && !it.is_whitespace() && !matches!(it, '<' | '>' | '*');
    // Enough to find that many among accents that are not shown.
    let seen: String = wish.chars().filter(sound).skip_while(|it| it.width() == Some(0)).take(64 * MOST_NICK).collect();
    let nick: String = printable(&seen).chars().take(MOST_NICK).collect();
    (!nick.is_empty()).then_some(nick)
}

/// How somebody is called whose nickname may be anything.
pub(super) fn any_nick(said: &str) -> String {
    nick(said).unwrap_or_else(|| "?".to_owned())
}

/// The nickname that was asked for, or the user's name.
pub(super) fn own_nick(asked: Option<&str>) -> Result<String, Failure> {
    match asked {
        Some(wish) => match nick(wish) {
            Some(usable) if usable == wish => Ok(usable),
            _ => Err(Failure::Usage(format!(
                "--nick: '{}' is no nickname: use 1 to {MOST_NICK} characters without blanks, '<', '>', '*' and what is not seen",
                printable(wish)
            ))),
        },
        None => Ok(std::env::var("USER").ok().and_then(|user| nick(&user)).unwrap_or_else(|| "guest".to_owned())),
    }
}

/// The nickname, or with a number behind it the first one that nobody has or looks like.
pub(super) fn free_nick<'a>(wish: &str, taken: impl Iterator<Item = &'a str> + Clone) -> String {
    let is_taken = |nick: &str| taken.clone().any(|other| alike(other, nick));
    if !is_taken(wish) {
        return wish.to_owned();
    }
    // Ends: there is one number more than members.
    for number in 2_u32.. {
        let digits = number.to_string();
        let kept: String = wish.chars().take(MOST_NICK - digits.len()).collect();
        let nick = format!("{kept}{digits}");
        if !is_taken(&nick) {
            return nick;
        }
    }
    wish.to_owned()
}

/// Checks the name of a room.
pub(super) fn check_room(room: &str) -> Result<(), Failure> {
    let sound = |it: char| it.is_alphanumeric() || matches!(it, '-' | '_' | '.');
    if (1..=64).contains(&room.chars().count()) && room.chars().all(sound) && room.len() <= 200 {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "'{}' is no name of a room: use 1 to 64 letters, digits, '-', '_' and '.'",
        printable(room)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_bounded() {
        assert_eq!(said("hi\r\n"), Some("hi".to_owned()));
        assert_eq!(said(" \t "), None);
        assert_eq!(said("a\tb"), Some("a b".to_owned()));
        assert_eq!(said(&"ä".repeat(MOST_TEXT)).map(|text| text.len()), Some(MOST_TEXT));
        assert_eq!(said(&format!("x{}", "ä".repeat(MOST_TEXT))).map(|text| text.len()), Some(MOST_TEXT - 1));
    }

    #[test]
    fn nicknames() {
        assert_eq!(nick(" an na\x1b<b>* "), Some("annab".to_owned()));
        assert_eq!(nick("\u{301}\u{200d}"), None);
        assert_eq!(nick("\u{301}a\u{ad}n\u{200c}\u{34f}n\u{fe0f}\u{2800}a"), Some("anna".to_owned()));
        assert_eq!(nick(&format!("a{}b", "\u{301}".repeat(50))), Some(format!("a{}b", "\u{301}".repeat(8))));
        assert_eq!(nick(&"x".repeat(100)).map(|it| it.len()), Some(MOST_NICK));
        assert!(own_nick(Some("an na")).is_err() && own_nick(Some("")).is_err());
        let taken = ["anna", "Anna2", "bob"];
        assert_eq!(free_nick("carl", taken.iter().copied()), "carl");
        assert_eq!(free_nick("ANNA", taken.iter().copied()), "ANNA3");
        assert_eq!(free_nick("аnnа", taken.iter().copied()), "аnnа3");
        let long = "y".repeat(MOST_NICK);
        assert_eq!(free_nick(&long, [long.as_str()].into_iter()), format!("{}2", "y".repeat(MOST_NICK - 1)));
    }

    #[test]
    fn rooms() {
        assert!(check_room("kitchen-2.a_b").is_ok() && check_room("küche").is_ok());
        for odd in ["", "a/b", "a b", "*", "a\n", &"x".repeat(65)] {
            assert!(check_room(odd).is_err(), "{odd:?}");
        }
    }
}
