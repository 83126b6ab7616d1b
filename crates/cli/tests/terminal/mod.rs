//! A terminal that a test looks at: a command in it, the keys that it gets, and what stands on its screen.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::scene::await_that;

/// A command on a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    /// The command's side: kept, so that what it leaves behind can be looked at.
    far: OwnedFd,
    screen: Arc<Mutex<Screen>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// Starts it on a screen of this size.
    pub(crate) fn run(command: Command, columns: u16, rows: u16) -> Terminal {
        Terminal::on(command, columns, rows, true)
    }

    /// The same on a terminal that knows of no flags and no joined emoji: it draws each of their parts by itself, and side by side.
    pub(crate) fn run_unjoined(command: Command, columns: u16, rows: u16) -> Terminal {
        Terminal::on(command, columns, rows, false)
    }

    fn on(mut command: Command, columns: u16, rows: u16, joins: bool) -> Terminal {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&near).expect("a terminal of ours");
        unlockpt(&near).expect("a terminal to open");
        let path = ptsname(&near, Vec::new()).expect("its name");
        let far = File::options().read(true).write(true).open(path.to_str().expect("text")).expect("its other side");
        let far = OwnedFd::from(far);
        tcsetwinsize(&near, size(columns, rows)).expect("its size");
        let copy = || far.try_clone().expect("a copy");
        command.stdin(copy()).stdout(copy()).stderr(copy()).env("TERM", "xterm-256color");
        let child = command.spawn().expect("the command starts");
        drop(command);
        let keys = File::from(near);
        let screen = Arc::new(Mutex::new(Screen { joins, ..Screen::new(columns, rows) }));
        let reader = read(keys.try_clone().expect("a copy"), Arc::clone(&screen));
        Terminal { child, keys, far, screen, reader }
    }

    /// Starts it, waits until this was written, and takes the terminal away without a signal, as happens to a command that is not
    /// in front. How it ended.
    pub(crate) fn taken_from(mut command: Command, text: &str) -> ExitStatus {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&near).expect("a terminal of ours");
        unlockpt(&near).expect("a terminal to open");
        let path = ptsname(&near, Vec::new()).expect("its name");
        let far = File::options().read(true).write(true).open(path.to_str().expect("text")).expect("its other side");
        tcsetwinsize(&near, size(100, 20)).expect("its size");
        let copy = || far.try_clone().expect("a copy");
        command.stdin(copy()).stdout(copy()).stderr(copy()).env("TERM", "xterm-256color");
        let mut child = command.spawn().expect("the command starts");
        drop((command, far));
        let (mut near, mut written) = (File::from(near), Vec::new());
        while !String::from_utf8_lossy(&written).contains(text) {
            let mut piece = [0; 4096];
            let read = near.read(&mut piece).expect("a command that still runs");
            written.extend_from_slice(piece.get(..read).expect("what was read"));
        }
        drop(near);
        let mut status = None;
        await_that("end without a terminal", || {
            status = child.try_wait().expect("a child of ours");
            status.is_some()
        });
        status.expect("awaited")
    }

    /// The command's process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that the command has used so far, in KiB.
    pub(crate) fn most_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its high-water mark");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Types.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal that takes keys");
    }

    /// Waits until this stands on the screen.
    pub(crate) fn shows(&mut self, text: &str) {
        await_that(text, || self.with(|screen| screen.text().contains(text)));
    }

    /// Waits until this stands there no longer.
    pub(crate) fn hides(&mut self, text: &str) {
        await_that(text, || self.with(|screen| !screen.text().contains(text)));
    }

    /// Waits until this was written, an escape sequence perhaps.
    pub(crate) fn wrote(&mut self, text: &str) {
        await_that(text, || self.with(|screen| screen.written().contains(text)));
    }

    /// What stands on the screen, row by row, without blanks at their ends.
    pub(crate) fn rows(&self) -> Vec<String> {
        self.with(|screen| screen.text().lines().map(|row| row.trim_end().to_owned()).collect())
    }

    /// Where this stands on the screen, in reading order.
    pub(crate) fn place_of(&self, text: &str) -> Option<usize> {
        self.with(|screen| screen.text().find(text))
    }

    /// Makes the screen another size, and tells the command as a terminal would.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.with(|screen| screen.resize(columns, rows));
        tcsetwinsize(&self.keys, size(columns, rows)).expect("its size");
        self.signal("WINCH");
    }

    /// Whether keys reach the command one by one.
    pub(crate) fn is_raw(&self) -> bool {
        let modes = tcgetattr(self.far.as_fd()).expect("a terminal").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Sends the command a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill exists").success());
    }

    /// Waits for its end; how it ended, and all that it wrote.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        let mut status = None;
        await_that("its end", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        assert!(!self.is_raw(), "the terminal is not as it was");
        // With its last other side the terminal's reading ends.
        drop(self.far);
        self.reader.join().expect("a reader");
        let written = self.screen.lock().expect("no reader panics").written();
        (status.expect("an end"), written)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Screen) -> T) -> T {
        look(&mut self.screen.lock().expect("no reader panics"))
    }
}

/// A command on a terminal that takes nothing, as behind a connection that hangs: it is full, and nobody reads it.
pub(crate) struct Hung {
    child: Child,
    /// The side that nobody reads.
    _near: OwnedFd,
    far: File,
}

impl Hung {
    pub(crate) fn run(mut command: Command, columns: u16, rows: u16) -> Hung {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&near).expect("a terminal of ours");
        unlockpt(&near).expect("a terminal to open");
        let path = ptsname(&near, Vec::new()).expect("its name");
        let open =
            || File::options().read(true).write(true).open(path.to_str().expect("text")).expect("its other side");
        let far = open();
        tcsetwinsize(&near, size(columns, rows)).expect("its size");
        let mut full = open();
        rustix::io::ioctl_fionbio(&full, true).expect("a description of our own");
        // Where the system makes a little room later, that is filled as well; a little more would be no matter.
        for _ in 0..3 {
            while full.write(&[b'x'; 1024]).is_ok() {}
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let copy = || far.try_clone().expect("a copy");
        command.stdin(copy()).stdout(copy()).stderr(copy()).env("TERM", "xterm-256color");
        Hung { child: command.spawn().expect("the command starts"), _near: near, far }
    }

    /// Whether keys reach the command one by one.
    pub(crate) fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.far).expect("a terminal").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Sends the command a signal by name, and waits for its end, which gives the terminal back; how it ended.
    pub(crate) fn ends_by(mut self, signal: &str) -> ExitStatus {
        let status = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill exists").success());
        let mut status = None;
        await_that("its end", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        assert!(!self.is_raw(), "the terminal is not as it was");
        status.expect("awaited")
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _killed = self.child.kill().and_then(|()| self.child.wait());
        }
    }
}

/// How wide the characters of a text are, each by itself.
fn alone_width(text: &str) -> usize {
    text.chars().map(|it| if ('\u{1f1e6}'..='\u{1f1ff}').contains(&it) { 2 } else { it.to_string().width() }).sum()
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn read(mut near: File, screen: Arc<Mutex<Screen>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        // Ends with the other side; Linux says so by an error.
        while let Ok(read @ 1..) = near.read(&mut piece) {
            screen.lock().expect("no reader panics").write(&piece[..read]);
        }
    })
}

/// Stands for a cell that the wide character in front of it covers.
const COVERED: &str = "\0";

/// As much of a terminal as these tests need: characters that are put somewhere, and screens that are cleared.
struct Screen {
    cells: Vec<Vec<String>>,
    at: (usize, usize),
    /// Where the last character was put, if nothing has moved the cursor since: what is drawn as one with it goes there.
    last: Option<(usize, usize)>,
    written: Vec<u8>,
    /// Up to here it is on the screen.
    done: usize,
    /// Several characters may be drawn as one.
    joins: bool,
}

impl Screen {
    fn new(columns: u16, rows: u16) -> Screen {
        let cells = vec![vec![" ".to_owned(); columns.into()]; rows.into()];
        Screen { cells, at: (0, 0), last: None, written: Vec::new(), done: 0, joins: true }
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        self.cells = Screen::new(columns, rows).cells;
    }

    fn written(&self) -> String {
        String::from_utf8_lossy(&self.written).into_owned()
    }

    fn text(&self) -> String {
        let seen = |row: &Vec<String>| row.iter().filter(|it| *it != COVERED).map(String::as_str).collect::<String>();
        self.cells.iter().map(seen).collect::<Vec<_>>().join("\n")
    }

    fn write(&mut self, bytes: &[u8]) {
        self.written.extend_from_slice(bytes);
        // What is not whole yet waits for the rest.
        while let Some(len) = self.step() {
            self.done += len;
        }
    }

    /// Does the next character or sequence; its length.
    fn step(&mut self) -> Option<usize> {
        let rest = self.written.get(self.done..)?.to_vec();
        match rest.first()? {
            0x1b if rest.get(1)? == &b'[' => {
                let end = 2 + rest[2..].iter().position(|byte| (0x40..=0x7e).contains(byte))?;
                let text = String::from_utf8_lossy(&rest[2..end]).into_owned();
                self.obey(rest[end], &text);
                Some(end + 1)
            }
            0x1b => Some(2),
            b'\r' => self.go(self.at.0, 0, 1),
            b'\n' => self.go(self.at.0 + 1, self.at.1, 1),
            0..0x20 => Some(1),
            first => {
                let len = match first {
                    0..0x80 => 1,
                    0xc0..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    _ => 4,
                };
                let character = std::str::from_utf8(rest.get(..len)?).ok()?.chars().next()?;
                self.put(character);
                Some(len)
            }
        }
    }

    /// Puts a character where the cursor is, or to the one that it is drawn as one with.
    fn put(&mut self, character: char) {
        let joined = self.last.and_then(|(row, column)| {
            if !self.joins && character.to_string().width() > 0 {
                return None;
            }
            let both = format!("{}{character}", self.cells.get(row)?.get(column)?);
            (both.graphemes(true).count() == 1).then_some(((row, column), both))
        });
        let ((row, column), text) = joined.unwrap_or_else(|| (self.at, character.to_string()));
        let width = if self.joins { text.width() } else { alone_width(&text) };
        let Some(cells) = self.cells.get_mut(row).filter(|cells| column + width <= cells.len() && width > 0) else {
            self.at = (row, column + width);
            return;
        };
        // Of a wide one nothing is left when half of it is gone.
        if cells[column] == COVERED {
            cells[column - 1] = " ".to_owned();
        }
        cells[column] = text;
        cells[column + 1..column + width].fill(COVERED.to_owned());
        cells[column + width..].iter_mut().take_while(|it| *it == COVERED).for_each(|it| *it = " ".to_owned());
        self.last = Some((row, column));
        self.at = (row, column + width);
    }

    fn go(&mut self, row: usize, column: usize, len: usize) -> Option<usize> {
        (self.at, self.last) = ((row, column), None);
        Some(len)
    }

    fn obey(&mut self, what: u8, text: &str) {
        let number = |at: usize, or: usize| text.split(';').nth(at).and_then(|it| it.parse().ok()).unwrap_or(or);
        if matches!(what, b'H' | b'C' | b'J' | b'K') {
            self.last = None;
        }
        match what {
            b'H' => self.at = (number(0, 1) - 1, number(1, 1) - 1),
            b'C' => self.at.1 += number(0, 1),
            b'K' if number(0, 0) == 2 => {
                if let Some(row) = self.cells.get_mut(self.at.0) {
                    row.fill(" ".to_owned());
                }
            }
            b'J' if number(0, 0) == 2 => self.cells.iter_mut().for_each(|row| row.fill(" ".to_owned())),
            _ => {}
        }
    }
}
