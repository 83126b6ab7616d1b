//! Members that are there through this process: at the other end of a link, or in a browser. They are relayed, within bounds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wharf::Endpoint;

use super::room::Room;
use super::text;
use super::words::{self, Exit, News, Wish};
use crate::failure::Failure;
use crate::printable::printable;

/// The most guests.
pub(super) const MOST_GUESTS: usize = 64;

/// The longest word of a guest, in bytes, as JSON.
pub(super) const MOST_WISH: usize = 32 << 10;

/// The most bytes that wait for a guest that does not take them. With more it is shown out.
pub(super) const MOST_WAITING: usize = 1 << 20;

/// How fast a guest may speak. Whoever is faster is not read meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Messages at once.
    pub(super) at_once: f64,
    /// Messages a second after that.
    pub(super) per_second: f64,
}

/// How long a guest may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// How often what waits for guests is tried again, and who was too fast is looked at.
const AGAIN: Duration = Duration::from_millis(25);

/// What comes over a line.
pub(super) enum Heard {
    Message(Vec<u8>),
    Nothing,
    /// It is over, this way, and perhaps for a reason that its user does not know.
    Over(Exit),
}

/// What a guest is reached by. Nothing here waits.
pub(super) trait Line {
    /// How fast it may be.
    fn pace(&self) -> Pace;

    /// Whether it shows what it is told as it is: then that is told as it may be shown.
    fn shows(&self) -> bool;

    /// The next word.
    fn hear(&mut self) -> Heard;

    /// Takes a message along, to be sent as there is room; `false` when too much waits already.
    fn tell(&mut self, message: &[u8]) -> bool;

    /// Sends on what waits; whether some of it still does.
    fn flush(&mut self) -> bool;

    /// Where it is waited for.
    fn endpoint(&mut self) -> Box<dyn Endpoint + '_>;

    /// Says that it is over.
    fn close(&mut self);
}

struct Guest {
    line: Box<dyn Line>,
    /// Its number in the room and its name there, once it has said who it is.
    member: Option<(u64, String)>,
    came: Instant,
    /// How many messages it may say now, as of then.
    credit: f64,
    counted: Instant,
    waits: bool,
}

/// See the top of the file.
pub(super) struct Guests {
    guests: Vec<Guest>,
    /// Whose turn it is to be heard.
    turn: usize,
    /// What was said last, for those who come.
    history: VecDeque<Kept>,
}

/// A message for those who come.
struct Kept {
    news: News,
    /// As JSON, in the longer of its two forms.
    bytes: usize,
}

/// Messages that are kept for those who come, and bytes of them: all fit what may wait for a guest.
const HISTORY: usize = 100;
const BYTES_OF_HISTORY: usize = MOST_WAITING / 2;

impl Guests {
    pub(super) fn new() -> Self {
        Self { guests: Vec::new(), turn: 0, history: VecDeque::new() }
    }

    /// Takes one in; one too many is told so.
    pub(super) fn take(&mut self, mut line: Box<dyn Line>) {
        if self.guests.len() >= MOST_GUESTS {
            // One that has not said who it is gives way, the oldest first.
            match self.guests.iter().position(|guest| guest.member.is_none()) {
                Some(silent) => self.guests.remove(silent).line.close(),
                None => {
                    line.tell(&words::write(&News::note(format!("{MOST_GUESTS} guests are here: there is no room"))));
                    line.flush();
                    line.close();
                    return;
                }
            }
        }
        let now = Instant::now();
        let credit = line.pace().at_once;
        self.guests.push(Guest { line, member: None, came: now, credit, counted: now, waits: false });
    }

    /// Hears everybody who may speak: a word of each in turn, so that whoever says most takes the room from nobody.
    pub(super) fn serve(&mut self, room: &mut Room) -> Result<(), Failure> {
        let now = Instant::now();
        self.guests.iter_mut().for_each(|guest| guest.waits = guest.line.flush());
        // Ends when nobody in a row has anything to say: a guest gives as many words as it has credit for.
        let mut silent = 0;
        while silent < self.guests.len() && room.has_room() {
            // Next time it begins behind whoever spoke last, however little there was room for.
            let at = self.turn % self.guests.len();
            self.turn = at + 1;
            let Some(guest) = self.guests.get_mut(at) else { break };
            if !guest.has_credit(now) {
                silent += 1;
                continue;
            }
            match guest.line.hear() {
                Heard::Nothing => silent += 1,
                Heard::Over(exit) => {
                    silent = 0;
                    self.show_out(at, exit, room)?;
                }
                Heard::Message(bytes) => {
                    silent = 0;
                    guest.credit -= 1.0;
                    if let Some(exit) = guest.obey(&bytes, room, &self.history)? {
                        self.show_out(at, exit, room)?;
                    }
                }
            }
        }
        let is_late = |guest: &Guest| guest.member.is_none() && now.duration_since(guest.came) > INTRODUCTION;
        while let Some(late) = self.guests.iter().position(is_late) {
            self.show_out(late, Exit::Died, room)?;
        }
        Ok(())
    }

    /// It is over for this one; whoever stood behind it has its turn.
    fn show_out(&mut self, at: usize, exit: Exit, room: &mut Room) -> Result<(), Failure> {
        let mut guest = self.guests.remove(at);
        guest.line.close();
        if at < self.turn {
            self.turn -= 1;
        }
        guest.member.map_or(Ok(()), |(id, _)| room.dismiss(id, exit))
    }

    /// Tells everybody what happens.
    pub(super) fn tell(&mut self, news: &[News], room: &mut Room) -> Result<(), Failure> {
        for news in news {
            let message = words::write(news);
            let to_show = words::write(&news.map(printable));
            if let News::Said { nick, text, at, .. } = news {
                let news = News::Said { nick: nick.clone(), text: text.clone(), at: *at, old: true };
                self.history.push_back(Kept { news, bytes: message.len().max(to_show.len()) });
                let bytes = |history: &VecDeque<Kept>| history.iter().map(|it| it.bytes).sum::<usize>();
                while self.history.len() > HISTORY || bytes(&self.history) > BYTES_OF_HISTORY {
                    self.history.pop_front();
                }
            }
            let mut at = 0;
            // Each round goes on to the next, or takes one away.
            while let Some(guest) = self.guests.get_mut(at) {
                at += 1;
                let Some((_, name)) = &mut guest.member else { continue };
                match news {
                    News::Joined { nick } if nick == name => continue,
                    News::Renamed { nick, to } if nick == name => name.clone_from(to),
                    News::You { .. } => continue,
                    _ => {}
                }
                if !guest.line.tell(if guest.line.shows() { &to_show } else { &message }) {
                    // It does not read. Its name is free again; what it missed it cannot be told.
                    at -= 1;
                    self.show_out(at, Exit::Died, room)?;
                }
            }
        }
        self.guests.iter_mut().for_each(|guest| guest.waits = guest.line.flush());
        Ok(())
    }

    /// Those who are waited for: who may speak now.
    pub(super) fn parts(&mut self, has_room: bool) -> Vec<Box<dyn Endpoint + '_>> {
        let now = Instant::now();
        let may_speak = |guest: &mut &mut Guest| has_room && guest.has_credit(now);
        self.guests.iter_mut().filter_map(|mut guest| may_speak(&mut guest).then(|| guest.line.endpoint())).collect()
    }

    /// When they want to be looked at without anything to wait for.
    pub(super) fn next_look(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let soon = self.guests.iter_mut().any(|guest| guest.waits || !guest.has_credit(now));
        let unknown = self.guests.iter().any(|guest| guest.member.is_none());
        if soon { Some(AGAIN) } else { unknown.then_some(INTRODUCTION / 10) }
    }

    /// Says goodbye to everybody.
    pub(super) fn close(&mut self) {
        self.guests.iter_mut().for_each(|guest| {
            guest.line.flush();
            guest.line.close();
        });
        self.guests.clear();
    }
}

impl Guest {
    fn has_credit(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        let pace = self.line.pace();
        self.credit = (self.credit + passed * pace.per_second).min(pace.at_once);
        self.counted = now;
        self.credit >= 1.0
    }

    fn tell(&mut self, news: &News) -> bool {
        let message = if self.line.shows() { words::write(&news.map(printable)) } else { words::write(news) };
        self.line.tell(&message)
    }

    /// Does what it wishes; what it is to be shown out for.
    fn obey(&mut self, wish: &[u8], room: &mut Room, history: &VecDeque<Kept>) -> Result<Option<Exit>, Failure> {
        let wish = if wish.len() <= MOST_WISH { serde_json::from_slice::<Wish>(wish).ok() } else { None };
        match (wish, &self.member) {
            (Some(Wish::Hello { nick }), None) => {
                let nick = text::nick(&nick).unwrap_or_else(|| "guest".to_owned());
                let member = room.admit(&nick)?;
                let you = News::You {
                    nick: member.nick.clone(),
                    room: room.name().to_owned(),
                    here: room.nicks(Some(member.id)),
                };
                let told = history.iter().map(|it| &it.news).chain([&you]).all(|news| self.tell(news));
                self.member = Some((member.id, member.nick));
                Ok((!told).then_some(Exit::Died))
            }
            (Some(Wish::Say { text }), Some((id, _))) => {
                if text.len() > text::MOST_TEXT {
                    let note =
                        format!("a message has {} bytes, at most {} are said: it was not", text.len(), text::MOST_TEXT);
                    self.tell(&News::note(note));
                } else {
                    room.say(*id, &text)?;
                }
                Ok(None)
            }
            // Whatever that is, it is none of our guests.
            _ => Ok(Some(Exit::Died)),
        }
    }
}
