//! What members tell each other: in the topics of a room, and to and from those who are there as guests of a host.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A member of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    /// Never used twice.
    pub(super) id: u64,
    pub(super) nick: String,
    /// When it came, in milliseconds since 1970: of two with one name the later one takes another.
    pub(super) since: u64,
}

/// In the topic `chat/ROOM/said`: one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// The member who said it.
    pub(super) id: u64,
    pub(super) nick: String,
    pub(super) text: String,
    /// When, in milliseconds since 1970.
    pub(super) at: u64,
}

/// In the topic `chat/ROOM/who`: everybody who is there through this publisher. The latest counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Who {
    pub(super) members: Vec<Member>,
    /// How those went who are not in it any more.
    pub(super) gone: Vec<(u64, Exit)>,
}

/// How somebody went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Exit {
    /// It said so.
    Left,
    /// It did not.
    Died,
}

/// What happens in a room, for whoever watches it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub(super) enum News {
    /// Somebody says something.
    Said {
        nick: String,
        text: String,
        at: u64,
        /// Before you came.
        #[serde(default)]
        old: bool,
    },
    /// You are in: how you are called here, and who is there besides.
    You { nick: String, room: String, here: Vec<String> },
    /// Somebody came.
    Joined { nick: String },
    /// Somebody left.
    Left { nick: String },
    /// Somebody is gone without a word.
    Died { nick: String },
    /// Somebody is called otherwise from now on.
    Renamed { nick: String, to: String },
    /// Something that you should know.
    Note { text: String },
}

/// What a guest tells its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub(super) enum Wish {
    /// At first: how it would like to be called.
    Hello { nick: String },
    /// To say something.
    Say { text: String },
}

impl News {
    pub(super) fn note(text: impl Into<String>) -> News {
        News::Note { text: text.into() }
    }

    /// The same with all that somebody else may have written changed so.
    pub(super) fn map(&self, change: impl Fn(&str) -> String) -> News {
        match self {
            News::Said { nick, text, at, old } => {
                News::Said { nick: change(nick), text: change(text), at: *at, old: *old }
            }
            News::You { nick, room, here } => {
                News::You { nick: change(nick), room: change(room), here: here.iter().map(|it| change(it)).collect() }
            }
            News::Joined { nick } => News::Joined { nick: change(nick) },
            News::Left { nick } => News::Left { nick: change(nick) },
            News::Died { nick } => News::Died { nick: change(nick) },
            News::Renamed { nick, to } => News::Renamed { nick: change(nick), to: change(to) },
            News::Note { text } => News::note(change(text)),
        }
    }

    pub(super) fn gone(exit: Exit, nick: String) -> News {
        match exit {
            Exit::Left => News::Left { nick },
            Exit::Died => News::Died { nick },
        }
    }
}

/// JSON in one message. Nothing of what is told here can fail to be written.
pub(super) fn write(what: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(what).unwrap_or_default()
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A time that somebody else says, in milliseconds since 1970: clocks differ, but by no more than a day.
pub(super) fn sound_time(at: u64) -> u64 {
    at.min(now().saturating_add(24 * 60 * 60 * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_finds_the_words_that_it_knows() {
        let text = |news: &News| String::from_utf8(write(news)).unwrap();
        let said = News::Said { nick: "a".into(), text: "</script>".into(), at: 7, old: false };
        assert_eq!(text(&said), r#"{"k":"said","nick":"a","text":"</script>","at":7,"old":false}"#);
        assert_eq!(text(&News::Died { nick: "a".into() }), r#"{"k":"died","nick":"a"}"#);
        assert_eq!(serde_json::from_str::<Wish>(r#"{"k":"say","text":"x"}"#).unwrap(), Wish::Say { text: "x".into() });
        assert!(serde_json::from_str::<Wish>(r#"{"k":"shout"}"#).is_err());
    }
}
