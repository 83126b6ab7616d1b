//! A room of this machine: two topics, in which every process publishes and subscribes.
//!
//! `chat/ROOM/said` carries what is said; each publisher keeps its latest messages for those who come later. `chat/ROOM/who`
//! carries who is there. A process that closes says so there first; one whose publisher is gone without that has died.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wharf::{Endpoint, Node, NodeId, NodeWatch, OnFull, Publisher, PublisherId, RecvError, SendError, Subscriber};

use super::census::Census;
use super::text;
use super::words::{self, Exit, Member, News, Said, Who};
use crate::ending::Ending;
use crate::failure::Failure;

/// Messages of each publisher that somebody who comes later still sees.
const HISTORY: u64 = 100;

/// Room for messages that somebody has not read yet.
const CAPACITY: usize = 256 << 10;

/// How long somebody who does not read (stopped, perhaps) may hold the others up before it misses messages.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest look at who is there before this process says that it is.
const SETTLING: Duration = Duration::from_secs(1);

/// After something changed in the domain it is looked around so long, this often: the news of a death and the end of its
/// stream come on two ways.
const LOOKING: Duration = Duration::from_secs(2);
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// The most that waits to be published; with more, whoever says it is not read.
const MOST_WAITING: usize = 64;

/// Messages taken at once, and about how many bytes of them: between two times the user has a turn.
pub(super) const MOST_AT_ONCE: usize = 256;
pub(super) const BYTES_AT_ONCE: usize = 256 << 10;

/// How long leaving waits for room for what was said last.
const LEAVING: Duration = Duration::from_secs(5);

/// See the top of the file.
pub(super) struct Room {
    node: NodeId,
    said: Publisher,
    who: Publisher,
    hear_said: Subscriber,
    hear_who: Subscriber,
    watch: NodeWatch,
    look_until: Option<Instant>,
    census: Census<PublisherId>,
    /// The members of this process; the first is its user.
    ours: Vec<Member>,
    waiting: VecDeque<Said>,
    news: Vec<News>,
}

impl Room {
    /// Comes in under this name, or one like it.
    pub(super) fn enter(room: &str, nick: &str, ending: &mut Ending) -> Result<Room, Failure> {
        let node = Node::open()?;
        let said = node.topic(format!("chat/{room}/said"));
        let said = said.history(HISTORY).capacity(CAPACITY).on_full(OnFull::Block { patience: Some(PATIENCE) });
        let who = node.topic(format!("chat/{room}/who")).history(1).capacity(CAPACITY).on_full(OnFull::DropOldest);
        let mut watch = node.watch()?;
        drain(&mut watch)?;
        let mut room = Room {
            node: node.id(),
            hear_said: said.subscriber()?,
            hear_who: who.subscriber()?,
            said: said.publisher()?,
            who: who.publisher()?,
            watch,
            look_until: None,
            census: Census::new(),
            ours: Vec::new(),
            waiting: VecDeque::new(),
            news: Vec::new(),
        };
        let began = Instant::now();
        // Ends when all have said who they are, or with the time.
        loop {
            room.hear()?;
            let there = room.others();
            if room.census.knows(&there) || began.elapsed() > SETTLING {
                break;
            }
            ending.pause(Duration::from_millis(5))?;
        }
        // Who was there before is no news.
        room.news.retain(|news| matches!(news, News::Said { .. }));
        room.news.sort_by_key(|news| if let News::Said { at, .. } = news { *at } else { 0 });
        room.news.iter_mut().for_each(|news| {
            if let News::Said { old, .. } = news {
                *old = true;
            }
        });
        let own = room.admit(nick)?;
        let here = room.census.members().map(|member| member.nick.clone()).collect();
        let name = room.name().to_owned();
        room.news.push(News::You { nick: own.nick, room: name, here });
        Ok(room)
    }

    /// What the room is called.
    pub(super) fn name(&self) -> &str {
        let topic = self.said.name();
        topic.strip_prefix("chat/").and_then(|name| name.strip_suffix("/said")).unwrap_or(topic)
    }

    /// The user of this process.
    pub(super) fn user(&self) -> u64 {
        self.ours.first().map_or(0, |member| member.id)
    }

    /// How everybody is called, or everybody but one member of this process.
    pub(super) fn nicks(&self, but: Option<u64>) -> Vec<String> {
        let others = self.ours.iter().filter(|member| Some(member.id) != but);
        others.chain(self.census.members()).map(|member| member.nick.clone()).collect()
    }

    /// A new member of this process, under this name or one like it.
    pub(super) fn admit(&mut self, wish: &str) -> Result<Member, Failure> {
        let nick = self.free_nick(wish, None);
        let member = Member { id: random()?, nick, since: words::now() };
        self.ours.push(member.clone());
        if self.ours.len() > 1 {
            self.news.push(News::Joined { nick: member.nick.clone() });
        }
        self.tell_who(Vec::new())?;
        Ok(member)
    }

    fn free_nick(&self, wish: &str, but: Option<u64>) -> String {
        let ours = self.ours.iter().filter(|member| Some(member.id) != but);
        text::free_nick(wish, ours.chain(self.census.members()).map(|member| member.nick.as_str()))
    }

    /// A member of this process is gone.
    pub(super) fn dismiss(&mut self, id: u64, exit: Exit) -> Result<(), Failure> {
        if let Some(at) = self.ours.iter().position(|member| member.id == id) {
            let member = self.ours.remove(at);
            self.news.push(News::gone(exit, member.nick));
            self.tell_who(vec![(id, exit)])?;
        }
        Ok(())
    }

    /// Whether more can be said now.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    /// A member of this process says something.
    pub(super) fn say(&mut self, id: u64, text: &str) -> Result<(), Failure> {
        let (Some(text), Some(member)) = (text::said(text), self.ours.iter().find(|member| member.id == id)) else {
            return Ok(());
        };
        self.waiting.push_back(Said { id, nick: member.nick.clone(), text, at: words::now() });
        self.publish()
    }

    /// Publishes what waits, as far as there is room.
    pub(super) fn publish(&mut self) -> Result<(), Failure> {
        while let Some(next) = self.waiting.front() {
            match self.said.try_send(&words::write(next)) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(SendError::Full) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn tell_who(&mut self, gone: Vec<(u64, Exit)>) -> Result<(), Failure> {
        let who = Who { members: self.ours.clone(), gone };
        // The oldest gives way, so this never waits.
        self.who.send(&words::write(&who)).map_err(Failure::from)
    }

    /// Everything that is waited for.
    pub(super) fn parts(&mut self) -> Vec<Box<dyn Endpoint + '_>> {
        let mut parts: Vec<Box<dyn Endpoint + '_>> =
            vec![Box::new(&mut self.hear_said), Box::new(&mut self.hear_who), Box::new(&mut self.watch)];
        if let Some(next) = self.waiting.front() {
            let len = words::write(next).len();
            parts.push(Box::new(self.said.room(len)));
        }
        parts
    }

    /// When it wants to look around again without being asked.
    pub(super) fn next_look(&self) -> Option<Duration> {
        self.look_until.map(|_| LOOK)
    }

    /// Something may have happened; what has.
    pub(super) fn news(&mut self) -> Result<Vec<News>, Failure> {
        if drain(&mut self.watch)? {
            self.look_until = Some(Instant::now() + LOOKING);
        }
        if self.look_until.is_some_and(|until| Instant::now() > until) {
            self.look_until = None;
        }
        self.publish()?;
        self.hear()?;
        self.yield_names()?;
        Ok(std::mem::take(&mut self.news))
    }

    /// Takes in what was said, then who came and went: whoever says goodbye has said the rest before. Only whoever has
    /// just come is told first, since he has said nothing before that.
    fn hear(&mut self) -> Result<(), Failure> {
        let before = self.news.len();
        if !self.hear_what_was_said()? {
            // There is more of it, and it is asked for again.
            return Ok(());
        }
        for _ in 0..MOST_AT_ONCE {
            match self.hear_who.try_recv() {
                Ok(sample) => {
                    let publisher = sample.publisher().id();
                    // This process hears itself, too.
                    if publisher.node() != self.node
                        && let Ok(who) = serde_json::from_slice::<Who>(&sample)
                    {
                        self.news.extend(self.census.hear(publisher, who));
                    }
                }
                Err(RecvError::Empty) => break,
                // What counts is the latest.
                Err(RecvError::Lagged { .. } | RecvError::CutOff { .. } | RecvError::Protocol(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let there = self.others();
        self.news.extend(self.census.look(&there));
        put_first_who_came(self.news.get_mut(before..).unwrap_or_default());
        Ok(())
    }

    /// Whoever else says who is there.
    fn others(&mut self) -> Vec<PublisherId> {
        let ours = self.node;
        self.hear_who.publishers().map(|it| it.id()).filter(|it| it.node() != ours).collect()
    }

    /// Takes in what was said; whether that was all.
    fn hear_what_was_said(&mut self) -> Result<bool, Failure> {
        let mut bytes = 0;
        for _ in 0..MOST_AT_ONCE {
            if bytes >= BYTES_AT_ONCE {
                break;
            }
            let next = self.hear_said.try_recv();
            bytes += next.as_ref().map_or(0, |sample| sample.len());
            match next {
                Ok(sample) => match serde_json::from_slice::<Said>(&sample) {
                    Ok(Said { nick, text, at, .. }) => {
                        if let Some(text) = text::said(&text) {
                            let (nick, at) = (text::any_nick(&nick), words::sound_time(at));
                            self.news.push(News::Said { nick, text, at, old: false });
                        }
                    }
                    Err(_) => self.news.push(News::note("somebody published what is no message of a chat")),
                },
                Err(RecvError::Empty) => return Ok(true),
                Err(RecvError::Lagged { missed, .. }) => {
                    self.news.push(News::note(format!(
                        "{missed} messages were missed: this side did not read for too long"
                    )));
                }
                Err(error @ (RecvError::CutOff { .. } | RecvError::Protocol(_))) => {
                    self.news.push(News::note(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// Members of this process whose name somebody else has with more right take another one.
    fn yield_names(&mut self) -> Result<(), Failure> {
        let mut changed = false;
        for at in 0..self.ours.len() {
            let Some(member) = self.ours.get(at).filter(|member| self.census.must_yield(member)) else { continue };
            let (id, old) = (member.id, member.nick.clone());
            let to = self.free_nick(&old, Some(id));
            if let Some(member) = self.ours.get_mut(at) {
                member.nick.clone_from(&to);
            }
            self.news.push(News::Renamed { nick: old, to });
            changed = true;
        }
        if changed { self.tell_who(Vec::new()) } else { Ok(()) }
    }

    /// Says what is still to be said, and goodbye for everybody here.
    pub(super) fn leave(mut self) -> Result<(), Failure> {
        let until = Instant::now() + LEAVING;
        while let Some(next) = self.waiting.pop_front() {
            let left = until.saturating_duration_since(Instant::now());
            match self.said.send_timeout(&words::write(&next), left) {
                Ok(()) => {}
                Err(SendError::Timeout) => {
                    return Err(Failure::Failed("somebody in the room does not read: not all was said".to_owned()));
                }
                Err(error) => return Err(error.into()),
            }
            // Others may wait for this one to read.
            self.hear_what_was_said()?;
        }
        let gone = self.ours.drain(..).map(|member| (member.id, Exit::Left)).collect();
        self.tell_who(gone)
    }
}

/// Takes all changes of the domain; whether there were any.
fn drain(watch: &mut NodeWatch) -> Result<bool, Failure> {
    let mut any = false;
    while watch.try_next()?.is_some() {
        any = true;
    }
    Ok(any)
}

/// A number that nobody else has.
fn random() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    filled.map_err(|_| Failure::Failed("the system gives no random bytes".to_owned()))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Of what was said, and behind it who came and went: whoever came before anybody went goes to the front.
fn put_first_who_came(news: &mut [News]) {
    let said = news.iter().take_while(|news| matches!(news, News::Said { .. })).count();
    let came = news.iter().skip(said).take_while(|news| matches!(news, News::Joined { .. })).count();
    if let Some(both) = news.get_mut(..said + came) {
        both.rotate_left(said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_heard_before_he_has_joined_and_nobody_joins_before_he_has_left() {
        let said = |nick: &str| News::Said { nick: nick.into(), text: "hi".into(), at: 0, old: false };
        let joined = |nick: &str| News::Joined { nick: nick.into() };
        let left = |nick: &str| News::gone(Exit::Left, nick.into());
        let mut news = vec![said("anna"), said("bob"), joined("anna"), left("bob"), joined("bob")];
        put_first_who_came(&mut news);
        assert_eq!(news, [joined("anna"), said("anna"), said("bob"), left("bob"), joined("bob")]);
        for mut same in [vec![], vec![said("anna")], vec![left("anna"), joined("anna")]] {
            let before = same.clone();
            put_first_who_came(&mut same);
            assert_eq!(same, before);
        }
    }
}
