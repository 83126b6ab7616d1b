//! `wharf chat`: terminals, scripts and browsers in one room.
//!
//! One thread waits for all of it. A room is either one of this machine (`room.rs`: topics, and who is there made by
//! `census.rs`), or one at a host (`link.rs`). Into a room of this machine guests may come (`guest.rs`): over links (`link.rs`)
//! and with browsers (`web/`). What a host says is cut to size (`heard.rs`). The user sees it on a terminal (`screen.rs`,
//! `rows.rs`, `editor.rs`), or as lines (`plain.rs`), of JSON where it was asked for (`event.rs`). What goes to and fro is in
//! `words.rs`, what may stand in it in `text.rs`, which names look like one in `seen.rs`.

mod census;
mod editor;
mod event;
mod guest;
mod heard;
mod link;
mod plain;
mod room;
mod screen;
mod seen;
mod text;
mod web;
mod words;

use std::io::{self, IsTerminal};
use std::time::Duration;

use wharf::{Address, Endpoint, Options, Selector};

use self::guest::Guests;
use self::link::{Door, Joined};
use self::plain::Plain;
use self::room::Room;
use self::screen::Screen;
use self::web::Web;
use self::words::News;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::meeting::check;
use crate::network::reachable;
use crate::shell::quoted;
use crate::usage::chat::ChatArguments;

/// What a user does.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    Line(String),
    /// Asks how others come in.
    Doors,
    Leave,
}

/// Where the user is.
#[allow(clippy::large_enum_variant, reason = "there is one")]
enum Place {
    Here(Room),
    There(Joined),
}

/// Where the user sits.
#[allow(clippy::large_enum_variant, reason = "there is one")]
enum Face {
    Screen(Screen),
    Plain(Plain),
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    User,
    Others,
}

/// Runs the command.
pub(crate) fn run(asked: &ChatArguments) -> Result<(), Failure> {
    text::check_room(&asked.room)?;
    let nick = text::own_nick(asked.nick.as_deref())?;
    if asked.host.is_none()
        && asked.join.is_none()
        && let Some(option) = asked.network.given().filter(|it| *it != "--insecure" || asked.web.is_none())
    {
        return Err(Failure::Usage(format!("{option} is for a network, and there is neither --host nor --join")));
    }
    let mut ending = Ending::watch()?;
    // What cannot be is told before anybody hears of us.
    let mut doors = Vec::new();
    let mut door = asked.host.as_deref().map(|address| host(address, asked, &mut doors)).transpose()?;
    let web = asked.web.as_deref().map(|place| Web::open(place, asked.network.insecure())).transpose()?;
    if let Some(web) = &web {
        doors.push(News::note(format!("browsers come in at {}", web.link())));
    }
    let face = match io::stdin().is_terminal() && io::stdout().is_terminal() && !asked.json {
        true => Face::Screen(Screen::open()?),
        false => Face::Plain(Plain::open(asked.json)?),
    };
    let place = match &asked.join {
        Some(address) => Place::There(join(address, asked, &nick)?),
        None => Place::Here(Room::enter(&asked.room, &nick, &mut ending)?),
    };
    let mut chat = Chat { place, face, guests: Guests::new(), door: door.take(), web, doors };
    let done = chat.go_on(&mut ending);
    chat.leave(done, &mut ending)
}

fn host(address: &str, asked: &ChatArguments, doors: &mut Vec<News>) -> Result<Door, Failure> {
    let (options, made) = asked.network.apply(Options::new(), &check(address)?, true)?;
    let door = Door::open(address, &options)?;
    let more = asked.network.for_who_connects(door.address(), made)?;
    let at = reachable(door.address());
    let at = quoted(&at);
    doors.push(News::note(format!("others join with: wharf chat {} --join {at}{more}", asked.room)));
    Ok(door)
}

fn join(address: &str, asked: &ChatArguments, nick: &str) -> Result<Joined, Failure> {
    let parsed: Address = check(address)?;
    let (options, _) = asked.network.apply(Options::new(), &parsed, false)?;
    Joined::enter(address, &options, nick)
}

struct Chat {
    place: Place,
    face: Face,
    guests: Guests,
    door: Option<Door>,
    web: Option<Web>,
    /// How others come in: told once the user is in, and when it asks.
    doors: Vec<News>,
}

impl Chat {
    /// Until the user leaves.
    fn go_on(&mut self, ending: &mut Ending) -> Result<(), Failure> {
        // Ends with the user, a signal, or an error; each round waits until there is something to do.
        loop {
            ending.check()?;
            self.face.go_on()?;
            let news = self.hear()?;
            if !news.is_empty() {
                self.face.show(&news)?;
            }
            // However much there is to hear, the user has a turn in between. Those who wait for a word hear it at once, and what
            // it makes of the room is heard before sleeping.
            let woken = match self.glance()? {
                None if news.is_empty() => self.wait(ending)?,
                woken => woken,
            };
            if woken == Some(Woken::User) {
                for typed in self.face.read()? {
                    match typed {
                        Typed::Leave => return Ok(()),
                        Typed::Doors => self.show_doors()?,
                        Typed::Line(text) => self.say(&text)?,
                    }
                }
            }
        }
    }

    /// Hears everybody, and tells everybody.
    fn hear(&mut self) -> Result<Vec<News>, Failure> {
        let room = match &mut self.place {
            Place::There(host) => return host.news(),
            Place::Here(room) => room,
        };
        if let Some(door) = &mut self.door {
            door.take(&mut self.guests)?;
        }
        if let Some(web) = &mut self.web {
            web.serve(&mut self.guests);
        }
        self.guests.serve(room)?;
        let mut news = room.news()?;
        self.guests.tell(&news, room)?;
        if news.iter().any(|news| matches!(news, News::You { .. })) {
            news.extend(self.doors.iter().cloned());
        }
        // Who was left out concerns the user only.
        news.extend(self.door.as_mut().and_then(Door::refused));
        Ok(news)
    }

    fn show_doors(&mut self) -> Result<(), Failure> {
        match self.doors.as_slice() {
            [] => self.face.show(&[News::note("nobody comes in through here: that takes --host or --web")]),
            doors => self.face.show(doors),
        }
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        match &mut self.place {
            Place::Here(room) => room.say(room.user(), text),
            Place::There(host) => host.say(text),
        }
    }

    /// Whether the user does something, without waiting.
    fn glance(&mut self) -> Result<Option<Woken>, Failure> {
        let mut ends = self.face.ends(self.place.has_room());
        ends.retain(|(_, woken)| *woken == Woken::User);
        Selector::new().try_wait(&mut ends).map_err(cannot_wait)
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, ending: &mut Ending) -> Result<Option<Woken>, Failure> {
        let mut limit: Option<Duration> = None;
        let mut others: Vec<Box<dyn Endpoint + '_>> = vec![Box::new(ending.endpoint())];
        let has_room = self.place.has_room();
        match &mut self.place {
            Place::Here(room) => {
                limit = sooner(limit, room.next_look());
                others.extend(room.parts());
            }
            Place::There(host) => others.extend(host.parts()),
        }
        limit = sooner(limit, self.guests.next_look());
        others.extend(self.guests.parts(has_room));
        if let Some(door) = &mut self.door {
            others.push(Box::new(door.endpoint()));
        }
        if let Some(web) = &mut self.web {
            limit = sooner(limit, web.next_look());
            others.extend(web.parts());
        }
        // Whoever types faster than it can be said waits, as does who pipes.
        let mut ends: Vec<(&mut dyn Endpoint, Woken)> = self.face.ends(has_room);
        ends.extend(others.iter_mut().map(|end| (&mut **end as &mut dyn Endpoint, Woken::Others)));
        let mut selector = Selector::new();
        let woken = match limit {
            Some(limit) => selector.wait_timeout(&mut ends, limit),
            None => selector.wait(&mut ends).map(Some),
        };
        woken.map_err(cannot_wait)
    }

    /// Says goodbye, and gives the terminal back; what was heard is still told to who reads it.
    fn leave(mut self, done: Result<(), Failure>, ending: &mut Ending) -> Result<(), Failure> {
        self.guests.close();
        let left = match self.place {
            Place::Here(room) => room.leave(),
            Place::There(host) => host.leave(),
        };
        let told = match (&done, self.face) {
            (Err(Failure::Signal(_) | Failure::NobodyReads), _) | (_, Face::Screen(_)) => Ok(()),
            (_, Face::Plain(plain)) => plain.finish(ending),
        };
        done.and(left).and(told)
    }
}

impl Place {
    /// Whether more can be said now.
    fn has_room(&self) -> bool {
        match self {
            Place::Here(room) => room.has_room(),
            Place::There(host) => host.has_room(),
        }
    }
}

impl Face {
    fn show(&mut self, news: &[News]) -> Result<(), Failure> {
        match self {
            Face::Screen(screen) => screen.show(news),
            Face::Plain(plain) => plain.show(news),
        }
    }

    fn read(&mut self) -> Result<Vec<Typed>, Failure> {
        match self {
            Face::Screen(screen) => screen.read(),
            Face::Plain(plain) => plain.read(),
        }
    }

    /// Shows what there was no room for before.
    fn go_on(&mut self) -> Result<(), Failure> {
        match self {
            Face::Screen(screen) => screen.go_on(),
            Face::Plain(plain) => plain.go_on(),
        }
    }

    /// What is ready when the user does something, and when there is room for what could not be shown; `has_room`: more can be
    /// said.
    fn ends(&mut self, has_room: bool) -> Vec<(&mut dyn Endpoint, Woken)> {
        let (user, room) = match self {
            Face::Screen(screen) => screen.endpoints(),
            Face::Plain(plain) => plain.endpoints(has_room),
        };
        let user = user.into_iter().map(|end| (end, Woken::User));
        user.chain(room.into_iter().map(|end| (end, Woken::Others))).collect()
    }
}

fn cannot_wait(error: io::Error) -> Failure {
    Failure::Failed(format!("cannot wait: {error}"))
}

fn sooner(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What happens, in a line.
fn sentence(news: &News) -> String {
    match news {
        News::Said { nick, text, .. } => format!("<{nick}> {text}"),
        News::You { nick, room, here } if here.is_empty() => format!("* you are {nick} in {room}; nobody else is here"),
        News::You { nick, room, here } => format!("* you are {nick} in {room}, with {}", here.join(", ")),
        News::Joined { nick } => format!("* {nick} joined"),
        News::Left { nick } => format!("* {nick} left"),
        News::Died { nick } => format!("* {nick} died"),
        News::Renamed { nick, to } => format!("* {nick} is now {to}"),
        News::Note { text } => format!("* {text}"),
    }
}
