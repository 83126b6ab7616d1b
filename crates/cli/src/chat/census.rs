//! Who is in a room, made of what each publisher says of those behind it. No input, no output, no clock.

use std::collections::HashMap;
use std::hash::Hash;

use super::seen::alike;
use super::text;
use super::words::{Exit, Member, News, Who};

/// The most members that one publisher can have: a host and its guests.
pub(super) const MOST_BEHIND_ONE: usize = 256;

/// Everybody but the members of this process. `P` tells publishers apart.
#[derive(Debug)]
pub(super) struct Census<P> {
    behind: HashMap<P, Vec<Member>>,
}

impl<P: Copy + Eq + Hash> Census<P> {
    pub(super) fn new() -> Self {
        Self { behind: HashMap::new() }
    }

    /// A publisher says who is there through it.
    pub(super) fn hear(&mut self, publisher: P, who: Who) -> Vec<News> {
        let mut news = Vec::new();
        let before = self.behind.remove(&publisher).unwrap_or_default();
        let mut now = who.members;
        now.truncate(MOST_BEHIND_ONE);
        // Whatever a publisher says, it is shown as a nickname is.
        now.iter_mut().for_each(|member| member.nick = text::any_nick(&member.nick));
        for member in &before {
            match now.iter().find(|it| it.id == member.id) {
                Some(same) if same.nick != member.nick => {
                    news.push(News::Renamed { nick: member.nick.clone(), to: same.nick.clone() });
                }
                Some(_) => {}
                None => {
                    let exit = who.gone.iter().find(|(id, _)| *id == member.id).map_or(Exit::Died, |(_, exit)| *exit);
                    news.push(News::gone(exit, member.nick.clone()));
                }
            }
        }
        let came = now.iter().filter(|member| before.iter().all(|it| it.id != member.id));
        news.extend(came.map(|member| News::Joined { nick: member.nick.clone() }));
        self.behind.insert(publisher, now);
        news
    }

    /// These publishers are there; whoever was behind another one is dead.
    pub(super) fn look(&mut self, there: &[P]) -> Vec<News> {
        let mut news = Vec::new();
        self.behind.retain(|publisher, members| {
            let lives = there.contains(publisher);
            if !lives {
                news.extend(members.iter().map(|member| News::Died { nick: member.nick.clone() }));
            }
            lives
        });
        news
    }

    /// Whether all of these have said who is there through them.
    pub(super) fn knows(&self, publishers: &[P]) -> bool {
        publishers.iter().all(|publisher| self.behind.contains_key(publisher))
    }

    /// Everybody.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> + Clone {
        self.behind.values().flatten()
    }

    /// Whether a member of this process has to take another name: somebody has it with more right.
    pub(super) fn must_yield(&self, member: &Member) -> bool {
        self.members()
            .any(|other| alike(&other.nick, &member.nick) && (other.since, other.id) < (member.since, member.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, nick: &str) -> Member {
        Member { id, nick: nick.into(), since: id }
    }

    fn who(members: &[Member], gone: &[(u64, Exit)]) -> Who {
        Who { members: members.to_vec(), gone: gone.to_vec() }
    }

    #[test]
    fn members_come_change_leave_and_die() {
        let mut census = Census::new();
        let nick = |nick: &str| nick.to_owned();
        assert_eq!(census.hear(1, who(&[member(1, "a")], &[])), [News::Joined { nick: nick("a") }]);
        assert_eq!(census.hear(2, who(&[member(2, "b"), member(3, "c")], &[])).len(), 2);
        assert_eq!(census.hear(1, who(&[member(1, "a")], &[])), []);
        assert_eq!(census.hear(1, who(&[member(1, "x\x1b")], &[])), [News::Renamed { nick: nick("a"), to: nick("x") }]);
        assert_eq!(census.hear(2, who(&[member(2, "b")], &[(3, Exit::Left)])), [News::Left { nick: nick("c") }]);
        assert_eq!(census.hear(1, who(&[], &[(1, Exit::Left)])), [News::Left { nick: nick("x") }]);
        assert_eq!(census.look(&[1, 2]), []);
        assert_eq!(census.look(&[]), [News::Died { nick: nick("b") }]);
        assert_eq!(census.members().count(), 0);
    }

    #[test]
    fn the_later_of_two_yields() {
        let mut census = Census::new();
        census.hear(1, who(&[member(5, "Anna")], &[]));
        assert!(census.must_yield(&member(6, "anna")) && census.must_yield(&member(6, "аnnа")));
        assert!(!census.must_yield(&member(4, "anna")));
        assert!(!census.must_yield(&member(6, "bob")));
        assert!(census.knows(&[1]) && !census.knows(&[1, 2]));
    }

    #[test]
    fn nobody_has_a_crowd_without_end_behind_him() {
        let crowd: Vec<Member> = (0..1000).map(|id| member(id, "x")).collect();
        assert_eq!(Census::new().hear(1, who(&crowd, &[])).len(), MOST_BEHIND_ONE);
    }
}
