//! The board of a process: filled, grown, read by others while it changes, and left behind by a death.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use wharf_shared_memory::board::{
    Board, BoardError, Counter, LookError, SlotText, changes, is_alive, look, look_at_slot,
};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("board")
    }

    fn board(&self) -> Board {
        let file = File::options().read(true).write(true).create_new(true).open(self.path()).unwrap();
        Board::build(file.as_fd(), [7; 16]).unwrap()
    }

    fn file(&self) -> File {
        File::open(self.path()).unwrap()
    }
}

fn text(name: &str) -> SlotText<'_> {
    SlotText { kind: [1, b'h', 1, 0], name, ..SlotText::default() }
}

#[test]
fn what_is_written_is_read_as_it_was() {
    let place = Place::new();
    let mut board = place.board();
    let long = "é".repeat(200);
    let full = SlotText {
        kind: [1, 2, 3, 4],
        name: "camera/front",
        type_name: &long,
        type_hash: 5,
        type_size: 6,
        options: [7, 8, 9, u64::MAX],
    };
    let (slot, counters) = board.take(&full).unwrap();
    counters.add(Counter::SentMessages, 2);
    counters.add(Counter::SentMessages, 3);
    counters.set(Counter::Depth, 4);
    counters.raise(Counter::Largest, 9);
    counters.raise(Counter::Largest, 8);
    let shown = look(place.file()).unwrap();
    assert_eq!((shown.facts.id, shown.facts.pid, shown.facts.changes), ([7; 16], std::process::id(), 1));
    assert!(!shown.facts.program.is_empty());
    let [it] = &shown.slots[..] else { panic!("{shown:?}") };
    assert_eq!((it.slot, it.kind, &*it.name), (slot, [1, 2, 3, 4], "camera/front"));
    assert_eq!((it.type_hash, it.type_size, it.options), (5, 6, [7, 8, 9, u64::MAX]));
    // Cut to 255 bytes, between two characters.
    assert_eq!(it.type_name, "é".repeat(127));
    assert_eq!(it.counters[Counter::SentMessages as usize], 5);
    assert_eq!(it.counters[Counter::Depth as usize], 4);
    assert_eq!(it.counters[Counter::Largest as usize], 9);
    assert_eq!(look_at_slot(place.file(), slot.index).unwrap().as_ref(), Some(it));
    assert_eq!(look_at_slot(place.file(), slot.index + 1).unwrap(), None);
    assert_eq!(look_at_slot(place.file(), u32::MAX).unwrap(), None);
}

#[test]
fn a_slot_that_is_used_again_is_another_one_with_counters_from_nought() {
    let place = Place::new();
    let mut board = place.board();
    let (first, counters) = board.take(&text("a")).unwrap();
    counters.add(Counter::SentBytes, 7);
    board.give_up(first);
    assert!(look(place.file()).unwrap().slots.is_empty());
    let (second, again) = board.take(&text("b")).unwrap();
    assert!(second.index == first.index && second.stamp != first.stamp);
    assert_eq!(again.get(Counter::SentBytes), 0);
    // What was given up before is not given up twice.
    board.give_up(first);
    assert_eq!(look(place.file()).unwrap().slots.len(), 1);
    assert_eq!(changes(place.file()).unwrap(), 3);
}

#[test]
fn it_grows_page_by_page_and_nothing_moves_until_it_is_full() {
    let place = Place::new();
    let mut board = place.board();
    let first = board.take(&text("first")).unwrap();
    let before = fs::metadata(place.path()).unwrap().len();
    let mut most = 1_u64;
    let full = loop {
        match board.take(&text(&format!("slot/{most}"))) {
            Ok(_) => most += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, BoardError::Full { limit } if limit as u64 == most && most == 16_384), "{full:?}");
    first.1.add(Counter::SentMessages, 1);
    let shown = look(place.file()).unwrap();
    assert_eq!(shown.slots.len() as u64, most);
    assert!(shown.slots.iter().skip(1).enumerate().all(|(n, it)| it.name == format!("slot/{}", n + 1)));
    assert_eq!(shown.slots[0].counters[Counter::SentMessages as usize], 1, "its place is where it was");
    // A page for four slots, and one for the header.
    assert_eq!(before, 8192);
    assert_eq!(fs::metadata(place.path()).unwrap().len(), 4096 + most * 1024);
    board.give_up(first.0);
    assert!(board.take(&text("again")).is_ok());
}

#[test]
fn whoever_reads_while_it_changes_sees_one_use_of_a_slot_or_another() {
    let place = Place::new();
    let mut board = place.board();
    let goes_on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let file = place.file();
            let mut seen = 0_u64;
            while goes_on.load(Ordering::Relaxed) {
                for it in look(&file).unwrap().slots {
                    assert_eq!(it.name, format!("{}/{}", it.type_hash, it.options[3]), "torn");
                    assert_eq!(it.type_hash, it.options[0]);
                    seen += 1;
                }
            }
            seen
        });
        for round in 0..50_000_u64 {
            let name = format!("{round}/{}", round * 7);
            let full =
                SlotText { name: &name, type_hash: round, options: [round, 0, 0, round * 7], ..SlotText::default() };
            let (slot, _) = board.take(&full).unwrap();
            board.give_up(slot);
        }
        // One that stays, so that the reader sees something however it was scheduled.
        let (_, _) = board.take(&SlotText { name: "0/0", ..SlotText::default() }).unwrap();
        while !reader.is_finished() && look(place.file()).unwrap().slots.is_empty() {}
        std::thread::sleep(std::time::Duration::from_millis(20));
        goes_on.store(false, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn the_kernel_tells_whether_its_process_lives() {
    let place = Place::new();
    let board = place.board();
    assert!(is_alive(place.file()).unwrap());
    drop(board);
    assert!(!is_alive(place.file()).unwrap());
    assert!(look(place.file()).is_ok(), "it can be read still, to see what was left");
}

#[test]
fn what_is_no_board_or_cut_or_lies_is_an_error_or_empty_and_no_more() {
    let place = Place::new();
    let put = |bytes: &[u8]| -> io::Result<File> {
        fs::write(place.path(), bytes)?;
        File::open(place.path())
    };
    assert!(matches!(look(put(b"").unwrap()), Err(LookError::NoBoard(_))));
    assert!(matches!(look(put(&[0; 8192]).unwrap()), Err(LookError::NoBoard(_))));
    assert!(matches!(look(File::open(Path::new("/dev/zero")).unwrap()), Err(LookError::NoBoard(_))));
    fs::remove_file(place.path()).unwrap();
    let mut board = place.board();
    board.take(&text("a")).unwrap();
    let good = fs::read(place.path()).unwrap();
    drop(board);
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        look(put(&bad).unwrap())
    };
    assert!(matches!(with(8, &[9]), Err(LookError::OtherVersion { expected: 1, found: 9 })));
    // More slots than there are, or than there can be: those that are there.
    assert_eq!(with(64, &u64::MAX.to_le_bytes()).unwrap().slots.len(), 1);
    assert_eq!(with(64, &0_u64.to_le_bytes()).unwrap().slots.len(), 0);
    // Lengths beyond their places, bytes that are no text, characters that a terminal would obey.
    assert_eq!(with(4096 + 12, &[255; 4]).unwrap().slots[0].name.chars().count(), 256);
    let bell = with(4096 + 256, &[7]).unwrap().slots[0].name.clone();
    assert_eq!(bell, char::REPLACEMENT_CHARACTER.to_string());
    assert_eq!(with(4096 + 256, &[0xff]).unwrap().slots[0].name, bell);
    // Cut in the middle of its only slot.
    assert_eq!(look(put(&good[..4096 + 500]).unwrap()).unwrap().slots, []);
}
