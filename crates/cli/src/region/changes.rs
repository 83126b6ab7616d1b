//! What has changed between two looks at a region, as sentences.

use std::collections::BTreeMap;

use wharf::region::RegionInfo;

use super::words;

/// What counts as a change: who takes part, and who holds or awaits what. How long somebody has waited does not.
#[derive(PartialEq, Eq)]
pub(crate) struct Told {
    creation_id: [u8; 16],
    /// By slot and generation: its words, and whether it lives.
    participants: BTreeMap<(u32, u32), (String, bool)>,
    /// Holders, waiters and doubts, each as a sentence, with how often it is true.
    facts: BTreeMap<String, u32>,
}

impl Told {
    /// What there is to tell of this look.
    pub(crate) fn of(info: &RegionInfo) -> Told {
        let participants = info.participants.iter().map(|it| {
            let words = format!("{} in slot {}", words::process(it.pid, &it.program), it.slot);
            ((it.slot, it.generation), (words, it.alive))
        });
        let mut facts = BTreeMap::new();
        for object in &info.objects {
            let name = words::object(object);
            let holders = object.seen.holders.iter().map(words::holder);
            let waiters = object.seen.waiters.iter().map(words::waiter);
            let doubt = object.seen.inconsistent.then(|| "data in doubt".to_owned());
            for fact in holders.chain(waiters).chain(doubt) {
                *facts.entry(format!("{name}: {fact}")).or_insert(0) += 1;
            }
        }
        Told { creation_id: info.creation_id, participants: participants.collect(), facts }
    }

    /// The first lines: what region it is, and how it stands.
    pub(crate) fn first_lines(&self, info: &RegionInfo) -> Vec<String> {
        let participants = words::counted(info.participants.len() as u64, "participant");
        let objects = words::counted(info.objects.len() as u64, "object");
        let first = format!("region {} ({}): {participants}, {objects}", info.name, info.type_name);
        // Whoever is dead by now was so before anybody looked.
        let dead = self.participants.iter().filter(|(_, (_, alive))| !alive).map(|(&key, told)| (key, told.clone()));
        let before = Told { creation_id: self.creation_id, participants: dead.collect(), facts: BTreeMap::new() };
        let dead = before.participants.values().map(|(words, _)| format!("{words} is dead"));
        std::iter::once(first).chain(dead).chain(between(&before, self)).collect()
    }
}

/// What has changed, one sentence each; none if nothing has.
pub(crate) fn between(before: &Told, now: &Told) -> Vec<String> {
    let mut lines = Vec::new();
    if before.creation_id != now.creation_id {
        lines.push("the region was removed and made anew".to_owned());
    }
    for (key, (words, alive)) in &now.participants {
        let known = before.participants.get(key);
        if known.is_none() {
            lines.push(format!("{words} has attached"));
        }
        if !alive && known.is_none_or(|(_, lived)| *lived) {
            lines.push(format!("{words} has died"));
        }
    }
    for (key, (words, _)) in &before.participants {
        if !now.participants.contains_key(key) {
            lines.push(format!("{words} has left"));
        }
    }
    for (fact, count) in &before.facts {
        if now.facts.get(fact) < Some(count) {
            lines.push(format!("no longer: {fact}"));
        }
    }
    for (fact, count) in &now.facts {
        if before.facts.get(fact) < Some(count) {
            lines.push(fact.clone());
        }
    }
    lines
}
