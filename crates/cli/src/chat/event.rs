//! What happens in a room as JSON, for scripts: `docs/chat.md` describes every field.

use serde::Serialize;

use super::words::News;

/// One object a line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event<'a> {
    Said {
        nick: &'a str,
        text: &'a str,
        /// Since 1970, by the clock of who said it.
        at_seconds: f64,
        old: bool,
    },
    Entered {
        nick: &'a str,
        room: &'a str,
        here: &'a [String],
    },
    Joined {
        nick: &'a str,
    },
    Left {
        nick: &'a str,
    },
    Died {
        nick: &'a str,
    },
    Renamed {
        nick: &'a str,
        to: &'a str,
    },
    Note {
        text: &'a str,
    },
    /// Nobody read what was written, so that many events are missing here.
    LeftOut {
        events: u64,
    },
}

impl Event<'_> {
    pub(super) fn of(news: &News) -> Event<'_> {
        match news {
            News::Said { nick, text, at, old } => {
                Event::Said { nick, text, at_seconds: *at as f64 / 1000.0, old: *old }
            }
            News::You { nick, room, here } => Event::Entered { nick, room, here },
            News::Joined { nick } => Event::Joined { nick },
            News::Left { nick } => Event::Left { nick },
            News::Died { nick } => Event::Died { nick },
            News::Renamed { nick, to } => Event::Renamed { nick, to },
            News::Note { text } => Event::Note { text },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::to_json_line;

    #[test]
    fn every_event_is_an_object_of_one_line() {
        let line = |event: &Event<'_>| to_json_line(event).expect("JSON");
        let nick = || "anna".to_owned();
        for (news, expected) in [
            (
                News::Said { nick: nick(), text: "a\n\u{202e}b".into(), at: 1_764_174_587_123, old: true },
                r#"{"event":"said","nick":"anna","text":"a\n\u202eb","at_seconds":1764174587.123,"old":true}"#,
            ),
            (
                News::You { nick: nick(), room: "kitchen".into(), here: vec!["bob".into()] },
                r#"{"event":"entered","nick":"anna","room":"kitchen","here":["bob"]}"#,
            ),
            (News::Joined { nick: nick() }, r#"{"event":"joined","nick":"anna"}"#),
            (News::Left { nick: nick() }, r#"{"event":"left","nick":"anna"}"#),
            (News::Died { nick: nick() }, r#"{"event":"died","nick":"anna"}"#),
            (News::Renamed { nick: nick(), to: "anna2".into() }, r#"{"event":"renamed","nick":"anna","to":"anna2"}"#),
            (News::note("x"), r#"{"event":"note","text":"x"}"#),
        ] {
            assert_eq!(line(&Event::of(&news)), expected);
        }
        assert_eq!(line(&Event::LeftOut { events: 7 }), r#"{"event":"left-out","events":7}"#);
    }
}
