//! The bytes that a terminal sends, as keys.
//!
//! What the terminals in use send is described in "XTerm Control Sequences" (Thomas Dickey, invisible-island.net) and ECMA-48. Only
//! keys are asked for, so anything else that comes (an answer, a report of the mouse) is passed over whole.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A sequence that is longer than this is none.
const LONGEST: usize = 64;

const ESCAPE: u8 = 0x1b;

/// See the top of the file. What is not whole yet waits for the next bytes.
#[derive(Default)]
pub(super) struct Decoder {
    rest: Vec<u8>,
}

/// What stands at the front of some bytes.
enum Front {
    /// So many of them are this key, or nothing that counts.
    Whole(usize, Option<KeyEvent>),
    /// More bytes decide.
    Partial,
}

impl Decoder {
    /// Takes what came, which ends where the terminal wrote nothing more for now: an escape character at its end is the key
    /// of that name. (Terminals write a sequence at once.)
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Vec<KeyEvent> {
        self.rest.extend_from_slice(bytes);
        let (mut keys, mut done) = (Vec::new(), 0);
        while let Some(rest) = self.rest.get(done..).filter(|rest| !rest.is_empty()) {
            match front(rest) {
                Front::Whole(len, key) => {
                    keys.extend(key);
                    done += len;
                }
                Front::Partial if rest == [ESCAPE] => {
                    keys.push(key(KeyCode::Esc));
                    done += 1;
                }
                Front::Partial if rest.len() > LONGEST => done += 1,
                Front::Partial => break,
            }
        }
        self.rest.drain(..done);
        keys
    }
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

fn front(bytes: &[u8]) -> Front {
    match bytes {
        [ESCAPE] => Front::Partial,
        // The key, and then something of its own.
        [ESCAPE, ESCAPE, ..] => Front::Whole(1, Some(key(KeyCode::Esc))),
        [ESCAPE, b'[', rest @ ..] => sequence(rest),
        [ESCAPE, b'O'] => Front::Partial,
        // The one of the number pad.
        [ESCAPE, b'O', b'M', ..] => Front::Whole(3, Some(key(KeyCode::Enter))),
        [ESCAPE, b'O', letter, ..] => Front::Whole(3, named(*letter, b"")),
        // A key with Alt.
        [ESCAPE, rest @ ..] => match plain(rest) {
            Front::Whole(len, found) => {
                Front::Whole(1 + len, found.map(|found| KeyEvent::new(found.code, found.modifiers | KeyModifiers::ALT)))
            }
            Front::Partial => Front::Partial,
        },
        bytes => plain(bytes),
    }
}

/// What follows the introducer of a control sequence: parameters, and the byte that ends it.
fn sequence(bytes: &[u8]) -> Front {
    // The console of Linux names its function keys so, with one letter more.
    if let [b'[', rest @ ..] = bytes {
        return if rest.is_empty() { Front::Partial } else { Front::Whole(4, None) };
    }
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            0x20..=0x3f => {}
            0x40..=0x7e => return Front::Whole(3 + at, named(*byte, bytes.get(..at).unwrap_or_default())),
            // Cut off: what follows is something else.
            _ => return Front::Whole(2 + at, None),
        }
    }
    Front::Partial
}

/// The key of a sequence that ends so, with these parameters: the number of the key where it ends with '~', and the keys that were
/// held down.
fn named(end: u8, parameters: &[u8]) -> Option<KeyEvent> {
    let mut numbers = parameters.split(|byte| *byte == b';').map(number);
    let first = numbers.next().flatten();
    let code = match (end, first) {
        (b'A', _) => KeyCode::Up,
        (b'B', _) => KeyCode::Down,
        (b'C', _) => KeyCode::Right,
        (b'D', _) => KeyCode::Left,
        (b'H', _) | (b'~', Some(1 | 7)) => KeyCode::Home,
        (b'F', _) | (b'~', Some(4 | 8)) => KeyCode::End,
        (b'~', Some(3)) => KeyCode::Delete,
        (b'~', Some(5)) => KeyCode::PageUp,
        (b'~', Some(6)) => KeyCode::PageDown,
        _ => return None,
    };
    // One more than a bit for each: Shift, Alt, Control.
    let held = numbers.next().flatten().unwrap_or(1).saturating_sub(1);
    let kinds = [(1, KeyModifiers::SHIFT), (2, KeyModifiers::ALT), (4, KeyModifiers::CONTROL)];
    let modifiers = kinds.into_iter().filter(|(bit, _)| held & bit != 0).map(|(_, modifier)| modifier).collect();
    Some(KeyEvent::new(code, modifiers))
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A character, or a key that sends a control character.
fn plain(bytes: &[u8]) -> Front {
    let Some(first) = bytes.first() else {
        return Front::Partial;
    };
    let control = |character| KeyEvent::new(KeyCode::Char(character), KeyModifiers::CONTROL);
    let found = match first {
        b'\r' | b'\n' => key(KeyCode::Enter),
        b'\t' => key(KeyCode::Tab),
        0x7f => key(KeyCode::Backspace),
        0 => control(' '),
        1..=0x1a => control(char::from(b'a' + first - 1)),
        0x1b..0x20 => return Front::Whole(1, None),
        _ => return character(bytes),
    };
    Front::Whole(1, Some(found))
}

fn character(bytes: &[u8]) -> Front {
    let front = bytes.get(..4).unwrap_or(bytes);
    let valid = match std::str::from_utf8(front) {
        Ok(text) => text,
        Err(error) => match (error.valid_up_to(), error.error_len()) {
            (0, None) => return Front::Partial,
            // No text: passed over.
            (0, Some(len)) => return Front::Whole(len, None),
            (len, _) => front.get(..len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default(),
        },
    };
    match valid.chars().next() {
        Some(character) => Front::Whole(character.len_utf8(), Some(key(KeyCode::Char(character)))),
        None => Front::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(pieces: &[&[u8]]) -> Vec<KeyEvent> {
        let mut decoder = Decoder::default();
        pieces.iter().flat_map(|piece| decoder.decode(piece)).collect()
    }

    fn codes(bytes: &[u8]) -> Vec<KeyCode> {
        decoded(&[bytes]).into_iter().map(|key| key.code).collect()
    }

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(codes("aä漢👩".as_bytes()), ['a', 'ä', '漢', '👩'].map(KeyCode::Char));
        assert_eq!(codes(b"\x1b[A\x1bOB\x1b[1;5C\x1b[D"), [KeyCode::Up, KeyCode::Down, KeyCode::Right, KeyCode::Left]);
        assert_eq!(codes(b"\x1b[H\x1bOF\x1b[1~\x1b[8~"), [KeyCode::Home, KeyCode::End, KeyCode::Home, KeyCode::End]);
        assert_eq!(codes(b"\x1b[3~\x1b[5~\x1b[6~"), [KeyCode::Delete, KeyCode::PageUp, KeyCode::PageDown]);
        assert_eq!(codes(b"\r\n\t\x7f"), [KeyCode::Enter, KeyCode::Enter, KeyCode::Tab, KeyCode::Backspace]);
        let held = |bytes: &[u8]| decoded(&[bytes]).first().map(|key| (key.code, key.modifiers));
        assert_eq!(held(b"\x03"), Some((KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert_eq!(held(b"\x1bx"), Some((KeyCode::Char('x'), KeyModifiers::ALT)));
        assert_eq!(held(b"\x1b[1;6A"), Some((KeyCode::Up, KeyModifiers::SHIFT | KeyModifiers::CONTROL)));
    }

    #[test]
    fn the_escape_key_is_what_nothing_follows() {
        assert_eq!(codes(b"\x1b"), [KeyCode::Esc]);
        assert_eq!(codes(b"\x1b\x1b"), [KeyCode::Esc, KeyCode::Esc]);
        assert_eq!(codes(b"\x1b\x1b[A"), [KeyCode::Esc, KeyCode::Up]);
        assert_eq!(codes(b"a\x1b"), [KeyCode::Char('a'), KeyCode::Esc]);
    }

    #[test]
    fn what_comes_in_pieces_is_put_together() {
        let text = "ä漢\x1b[5~👩\x1b[1;5D".as_bytes();
        let whole = decoded(&[text]);
        assert_eq!(whole.len(), 5);
        for cut in 1..text.len() {
            let (front, back) = text.split_at(cut);
            if !front.ends_with(b"\x1b") {
                assert_eq!(decoded(&[front, back]), whole, "{cut}");
            }
        }
    }

    #[test]
    fn what_is_no_key_is_passed_over_whole() {
        // The mouse, an answer about the cursor, a function key, a focus, half of a character, and a sequence that never ends.
        assert_eq!(
            codes(b"\x1b[<0;3;4Ma\x1b[12;40Rb\x1b[15~c\x1b[Id\x1b[[Ae"),
            ['a', 'b', 'c', 'd', 'e'].map(KeyCode::Char)
        );
        assert_eq!(codes(b"\xe6\xbca\xff\xc3("), ['a', '('].map(KeyCode::Char));
        let mut endless = b"\x1b[".to_vec();
        endless.resize(4096, b'1');
        endless.extend(b"\x1b[Aq");
        assert_eq!(codes(&endless).split_last_chunk::<2>().map(|it| *it.1), Some([KeyCode::Up, KeyCode::Char('q')]));
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let seed = new_seed();
        println!("seed {seed}");
        let mut state = seed | 1;
        let mut decoder = Decoder::default();
        for _ in 0..10_000 {
            let mut piece = Vec::new();
            for _ in 0..state % 17 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                piece.push(match state >> 60 {
                    0..4 => ESCAPE,
                    4..8 => b"[O;~1AM<"[(state >> 40) as usize % 8],
                    _ => (state >> 48) as u8,
                });
            }
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            decoder.decode(&piece);
            assert!(decoder.rest.len() <= LONGEST, "{:?}", decoder.rest);
        }
        decoder.decode(b"\x1b[A\x1b[A");
        assert_eq!(decoder.decode(b"x").last().map(|key| key.code), Some(KeyCode::Char('x')));
    }

    fn new_seed() -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |it| it.as_nanos() as u64)
    }
}
