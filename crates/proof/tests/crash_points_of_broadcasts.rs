//! A reader or the writer of a broadcast killed at every named point: everybody else goes on, and every letter is exact.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use wharf_proof::letter::Kind;
use wharf_proof::points::BROADCAST;
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::relay;
use wharf_proof::scene::Scene;
use wharf_shared_memory::log::{
    BroadcastReader, BroadcastTerms, BroadcastWriter, Heard, Held, ReaderPage, SeatId, Start, WriteError,
};
use wharf_sys::clock::Deadline;

const SIGKILL: i32 = 9;
const LETTERS: Kind = Kind::Varied(300);
/// Letters after a reader's death: many times around the log.
const AFTERWARDS: u64 = 20_000;

fn victim() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_victim"))
}

#[test]
fn whoever_dies_in_a_broadcast_the_others_go_on() {
    let mut deaths = 0;
    for point in BROADCAST {
        for turn in point.turns {
            let armed = format!("{}:{turn}", point.name);
            if point.reader {
                a_reader_dies(&armed)
            } else {
                the_writer_dies(&armed)
            }
            deaths += 1;
        }
    }
    println!("{deaths} deaths at {} named points", BROADCAST.len());
}

/// A reader of the test's own, which must receive everything or be told what it missed.
struct Witness {
    reader: BroadcastReader,
    received: u64,
    missed: u64,
    held: VecDeque<Held>,
}

impl Witness {
    fn open(page: ReaderPage, writer_fd: std::os::fd::OwnedFd, start: Start) -> Witness {
        let reader = BroadcastReader::open(page, writer_fd, relay::geometry(), start, relay::reader_terms());
        Witness { reader: reader.expect("a log to read"), received: 0, missed: 0, held: VecDeque::new() }
    }

    /// Takes what is there, at most `most` messages; what stopped it.
    fn take(&mut self, most: u64, what: &str) -> Heard {
        for _ in 0..most {
            match self.reader.poll().unwrap_or_else(|error| panic!("{what}: {error}")) {
                Heard::Message => {
                    let number = self.reader.sequence();
                    assert!(LETTERS.is(number, self.reader.message()), "{what}: letter {number}");
                    assert_eq!(number, self.received + self.missed, "{what}: a letter is missing in silence");
                    self.received += 1;
                }
                Heard::Lagged(missed) => self.missed += missed,
                Heard::More => {}
                other => return other,
            }
        }
        Heard::More
    }
}

/// A writer of the test's own, with the letters that it sends.
struct Tower {
    writer: BroadcastWriter,
    /// The memory of each generation that was told of, open under a number of its own for whoever comes late.
    told: Vec<std::os::fd::OwnedFd>,
    letter: Vec<u8>,
}

impl Tower {
    fn send(&mut self, what: &str) {
        LETTERS.compose(self.writer.sent(), &mut self.letter);
        // A turn each for room, for a new generation, and for the letter.
        for _ in 0..3 {
            match self.writer.try_write(&self.letter) {
                Ok(()) => return,
                Err(WriteError::Full) => match self.writer.make_room_by_dropping(self.letter.len() as u64) {
                    Ok(()) => {}
                    Err(error) => panic!("{what}: {error}"),
                },
                Err(error) => panic!("{what}: {error}"),
            }
        }
        panic!("{what}: no room after dropping");
    }

    fn move_on(&mut self) -> Start {
        self.writer.start_generation(relay::geometry()).expect("memory for a generation")
    }

    fn say(&mut self, start: &Start) -> String {
        self.told.push(self.fd());
        let fd = self.told.last().expect("just pushed").as_fd();
        format!("{};{}", relay::say_fd(fd), relay::say_start(start))
    }

    fn join(&mut self, page: &ReaderPage) -> (SeatId, Start) {
        let page = page.fd().try_clone_to_owned().expect("a copy of a descriptor");
        self.writer.join(page, relay::seat_terms(), 0).expect("a seat")
    }

    fn fd(&self) -> std::os::fd::OwnedFd {
        self.writer.fd().try_clone_to_owned().expect("a copy of a descriptor")
    }
}

fn expect_kill(process: &mut Process, armed: &str) {
    let death = process.death(PATIENCE);
    let last = process.hear(Duration::from_millis(100));
    assert_eq!(death.status.signal(), Some(SIGKILL), "{armed}: {last:?}, {}", process.report());
}

fn a_reader_dies(armed: &str) {
    let scene = Scene::new();
    let terms = BroadcastTerms { may_drop: true, ..BroadcastTerms::default() };
    let writer = BroadcastWriter::create(relay::geometry(), terms).expect("memory for a log");
    let mut tower = Tower { writer, told: Vec::new(), letter: Vec::new() };
    let page = ReaderPage::create().expect("memory for a page");
    let (_, start) = tower.join(&page);
    let mut witness = Witness::open(page, tower.fd(), start);

    let mut process = Process::start_armed(victim(), &scene, &["broadcast", "read"], armed);
    let page = relay::open_fd(&process.expect("page").text).expect("the victim's page");
    let (seat, start) = tower.writer.join(page, relay::seat_terms(), 0).expect("a seat");
    process.tell(&tower.say(&start));

    let deadline = Deadline::after(PATIENCE);
    // Ends with the death, or at the deadline.
    while process.runs() {
        assert!(!deadline.passed(), "{armed}: not reached: {}", process.report());
        for _ in 0..50 {
            tower.send(armed);
            let stopped = witness.take(u64::MAX, armed);
            assert_eq!(stopped, Heard::Empty, "{armed}");
        }
        if tower.writer.sent().is_multiple_of(4000) && tower.told.len() < 4 {
            let start = tower.move_on();
            process.tell(&tower.say(&start));
            assert_eq!(witness.take(u64::MAX, armed), Heard::Moved, "{armed}");
            witness.reader.next_generation(tower.fd(), relay::geometry(), start).expect("the next generation");
        }
    }
    expect_kill(&mut process, armed);

    // First with the dead one's pins in the way, then without.
    for left in [false, true] {
        let mut departed = 0;
        tower.writer.take_departed(|_, _, _| departed += 1);
        assert_eq!(departed, 0, "{armed}: a dead reader is no liar");
        if left {
            assert!(tower.writer.leave(seat), "{armed}");
        }
        for _ in 0..AFTERWARDS {
            tower.send(armed);
            assert_eq!(witness.take(u64::MAX, armed), Heard::Empty, "{armed}");
        }
    }
    assert_eq!(
        (witness.received, witness.missed),
        (tower.writer.sent(), 0),
        "{armed}: one that keeps up misses nothing"
    );
}

fn the_writer_dies(armed: &str) {
    let scene = Scene::new();
    let mut process = Process::start_armed(victim(), &scene, &["broadcast", "write"], armed);
    let [mut keen, mut lazy] = [(); 2].map(|()| {
        let page = ReaderPage::create().expect("memory for a page");
        process.tell(&relay::say_fd(page.fd()));
        let said = process.expect("log").text;
        let (fd, start) = relay::hear_both(&said).expect("a log");
        Witness::open(page, relay::open_fd(fd).expect("the victim's log"), start)
    });
    process.tell("go");
    // The memory of generations to come, as the writer tells of it.
    let mut coming: VecDeque<(std::os::fd::OwnedFd, Start)> = VecDeque::new();
    let mut entered = [0_usize; 2];
    let deadline = Deadline::after(PATIENCE);
    let mut rounds = 0_u64;
    // Ends when the writer is dead and both have read what it left, or at the deadline.
    loop {
        assert!(!deadline.passed(), "{armed}: not reached: {}", process.report());
        let runs = process.runs();
        // One more line may have been said before the end; whoever is gone has no descriptors to open.
        while let Some(said) = process.hear(Duration::from_micros(if runs { 1 } else { 20_000 })) {
            let (fd, start) = relay::hear_both(&said.text).expect("a log");
            coming.extend(relay::open_fd(fd).ok().map(|memory| (memory, start)));
        }
        rounds += 1;
        let mut stopped = Vec::new();
        for (witness, entered) in [&mut keen, &mut lazy].into_iter().zip(&mut entered) {
            // The lazy one sleeps while the log goes around it.
            let most = if !runs || rounds % 8 < 4 { u64::MAX } else { 0 };
            let most = most.min(5000);
            let mut heard = witness.take(most.min(1), armed);
            // What is held was found one by one: behind all that is there is nothing to hold.
            if heard == Heard::More {
                if most > 0 && witness.held.len() < 2 && witness.reader.in_place() {
                    witness.held.push_back(witness.reader.hold());
                }
                heard = witness.take(most, armed);
            }
            if heard == Heard::Moved
                && let Some((memory, start)) = coming.get(*entered)
            {
                let memory = memory.try_clone().expect("a copy of a descriptor");
                witness.reader.next_generation(memory, relay::geometry(), *start).expect("the next generation");
                *entered += 1;
                heard = Heard::More;
            }
            if rounds.is_multiple_of(64) {
                witness.held.pop_front();
            }
            stopped.push(heard);
        }
        let read_all = stopped.iter().all(|heard| matches!(heard, Heard::Empty | Heard::Moved));
        if !runs && read_all {
            break;
        }
    }
    expect_kill(&mut process, armed);
    let ends = [&keen, &lazy].map(|witness| witness.reader.next_sequence());
    assert_eq!(ends[0], ends[1], "{armed}: both find the same end");
    assert_eq!(ends[0], keen.received + keen.missed, "{armed}");
    assert!(keen.received > 0, "{armed}: something was read");
}
