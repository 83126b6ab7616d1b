//! A living node whose board and entries say anything: whoever looks at it sees lies within bounds, and everybody else as ever.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Instant as Moment;

use super::super::registry::NODES;
use super::*;
use crate::chance::Random;

/// How long the random part goes on.
const SPELL: Duration = Duration::from_millis(700);

/// Bytes before the slots of a board, of a slot, and slots that are scribbled on.
const HEADER: u64 = 4096;
const SLOT: u64 = 1024;
const SLOTS: u64 = 32;

/// What may stand in the name of an end.
const NAMES: [&str; 8] = ["good", "**", "*/x", "", "a//b", "\u{1b}[2J", "good/long", "\u{202e}"];

/// Something else in one place of a board.
fn scribble(board: &File, random: &mut Random) {
    let slot = HEADER + random.below(SLOTS as usize) as u64 * SLOT;
    match random.below(8) {
        // What the header says besides what it is.
        0 => {
            let at = [32, 40, 48, 56, 64, 76, 80][random.below(7)];
            board.write_all_at(&random.word().to_le_bytes(), at).unwrap();
        }
        // A name that is or is not one.
        1 | 2 => {
            let name = NAMES[random.below(NAMES.len())];
            board.write_all_at(&(name.len() as u16).to_le_bytes(), slot + 12).unwrap();
            board.write_all_at(name.as_bytes(), slot + 256).unwrap();
        }
        // An end that could be: in use, of a pattern and a part that there are.
        3 | 4 => {
            let kind = [random.below(8) as u8, b"hg"[random.below(2)], random.below(5) as u8, 0];
            board.write_all_at(&(random.number() as u32 | 1).to_le_bytes(), slot).unwrap();
            board.write_all_at(&kind, slot + 8).unwrap();
        }
        // Counters, among them those by which it is worked out how much waits.
        5 => board.write_all_at(&random.word().to_le_bytes(), slot + 128 + 8 * random.below(16) as u64).unwrap(),
        _ => board.write_all_at(&random.word().to_le_bytes(), slot + 8 * random.below(128) as u64).unwrap(),
    }
}

#[test]
fn a_board_that_says_anything_hides_nobody_and_stops_nobody() {
    anything_is_said(Random::seeded());
}

/// With this seed the board soon says, where an entry of another payload leads to it, that the name has another type.
#[test]
fn a_board_that_says_anything_may_say_that_a_name_has_another_type() {
    anything_is_said(Random(1_795_758_197_947_288_019));
}

fn anything_is_said(mut random: Random) {
    let world = World::new();
    let (liar, honest, looker) = (world.node(), world.node(), world.node());
    let (host, guest) = (fake(), fake());
    let _lied = (open(&liar, Part::Host, "lie", &fake()), open(&liar, Part::Guest, "**", &fake()));
    let _host = open(&honest, Part::Host, "good", &host);
    let _guest = open(&honest, Part::Guest, "good", &guest);
    let path = world.place.path().join(NODES).join(format!("{}.board", liar.id()));
    let board = File::options().read(true).write(true).open(&path).unwrap();
    board.set_len(HEADER + SLOTS * SLOT).unwrap();
    let folder = world.place.path().join(".topic/good");
    let mut watch = looker.watch().unwrap();
    let (mut most, mut meetings) = (0, 0);
    let began = Moment::now();
    while began.elapsed() < SPELL {
        for _ in 0..=random.below(20) {
            scribble(&board, &mut random);
        }
        let all = looker.endpoints().unwrap();
        let good = all.iter().filter(|it| it.node == honest.id());
        assert_eq!(good.filter(|it| it.name == "good" && it.statistics.depth == 0).count(), 2, "{all:?}");
        assert!(all.iter().all(|it| !it.name.chars().any(char::is_control)));
        most = most.max(all.len());
        while watch.try_next().unwrap().is_some() {}
        if random.once_in(8) {
            // An entry that says anything, among those of its neighbours.
            let part = ["h", "g"][random.below(2)];
            let name =
                format!("{}-{part}-{:016x}-{:x}-{:x}", liar.id(), random.word(), random.below(40), random.below(4));
            let _same_again = fs::hard_link(&path, folder.join(name));
            let came = fake();
            let name = ["good", "**", "good/*"][random.below(3)];
            let end = looker.register(
                EndpointSpec { patience: Duration::from_millis(50), ..spec(Part::Guest, name) },
                Arc::clone(&came) as Arc<dyn Endpoint>,
            );
            match end {
                Ok(end) => drop(end),
                // A process of this user is believed when it says of a name, in an entry and on its board, what its type is.
                Err(NodeError::OtherType { name: refused, theirs, .. }) => {
                    assert!(
                        refused == "good" && name == "good" && theirs != "plain bytes",
                        "{name}: {refused}, {theirs}"
                    );
                }
                Err(error) => panic!("{name}: {error}"),
            }
            meetings += usize::from(came.diary.lines().iter().any(|it| it == "answered welcome"));
        }
    }
    assert!(most > 6 && meetings > 0, "{most} ends were seen, {meetings} met");
}
