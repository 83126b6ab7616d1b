//! What a host says, cut to what a room can hold: who joins a host trusts it with the room, not with its own memory and terminal.

use super::text;
use super::words::{self, News};

/// The most members that are listed.
pub(super) const MOST_HERE: usize = 1024;

/// The longest name of a room, in characters.
const MOST_ROOM: usize = 64;

/// A word of a host; `None` when nothing of it is left.
pub(super) fn heard(message: &[u8]) -> Option<News> {
    let Ok(news) = serde_json::from_slice(message) else {
        return Some(News::note("the host said something that this version does not know"));
    };
    let nick = |nick: String| text::any_nick(&nick);
    Some(match news {
        News::Said { nick: speaker, text, at, old } => {
            News::Said { nick: nick(speaker), text: text::said(&text)?, at: words::sound_time(at), old }
        }
        News::You { nick: own, room, here } => News::You {
            nick: nick(own),
            room: room.chars().take(MOST_ROOM).collect(),
            here: here.into_iter().take(MOST_HERE).map(nick).collect(),
        },
        News::Joined { nick: who } => News::Joined { nick: nick(who) },
        News::Left { nick: who } => News::Left { nick: nick(who) },
        News::Died { nick: who } => News::Died { nick: nick(who) },
        News::Renamed { nick: who, to } => News::Renamed { nick: nick(who), to: nick(to) },
        News::Note { text } => News::note(text::said(&text)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(news: &News) -> Option<News> {
        heard(&words::write(news))
    }

    #[test]
    fn nothing_that_a_host_says_is_longer_than_what_a_member_may_say() {
        let (long, odd) = ("y".repeat(200_000), "<a>\nroot\u{202e}");
        let said = |nick: &str, text: &str, at| News::Said { nick: nick.into(), text: text.into(), at, old: false };
        assert_eq!(hear(&said(odd, &long, 7)), Some(said("aroot", &"y".repeat(text::MOST_TEXT), 7)));
        assert_eq!(hear(&said("a", "\r\n", 7)), None);
        let Some(News::Said { at, .. }) = hear(&said("a", "b", u64::MAX)) else { panic!("nothing was said") };
        assert!(at < words::now() + 2 * 24 * 60 * 60 * 1000);

        let here = vec![long.clone(); MOST_HERE + 1];
        let you = News::You { nick: odd.into(), room: long.clone(), here };
        let Some(News::You { nick, room, here }) = hear(&you) else { panic!("nobody is there") };
        assert_eq!((nick.as_str(), room.len(), here.len()), ("aroot", MOST_ROOM, MOST_HERE));
        assert!(here.iter().all(|nick| nick.len() == text::MOST_NICK));

        for news in [
            News::Joined { nick: long.clone() },
            News::Left { nick: long.clone() },
            News::Died { nick: long.clone() },
            News::Renamed { nick: long.clone(), to: long.clone() },
        ] {
            let bounded = words::write(&hear(&news).expect("something"));
            assert!(bounded.len() < 3 * text::MOST_NICK + 50, "{news:?}");
        }
        assert_eq!(hear(&News::Joined { nick: "\x1b".into() }), Some(News::Joined { nick: "?".into() }));
        assert_eq!(hear(&News::note(long)), Some(News::note("y".repeat(text::MOST_TEXT))));
        assert!(matches!(heard(b"{\"k\":\"shout\"}"), Some(News::Note { .. })));
    }
}
