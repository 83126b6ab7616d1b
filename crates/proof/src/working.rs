//! A queue among honest and hostile ends: where they meet, and what an item of an honest pusher looks like.

use std::time::Duration;

use wharf_sys::clock::Instant;

/// The name under which most of them meet.
pub const NAME: &str = "work/by-name";
/// The address at which the others do.
pub const ADDRESS: &str = "unix:work-at-an-address";
/// How long an honest pusher lets a puller be silent.
pub const SILENT: Duration = Duration::from_millis(20);

/// Bytes of an item before what fills it.
const HEAD: usize = 16;

/// The bytes of item `number`, most of them short, and some so long that they travel in parts.
pub fn item(number: u64) -> Vec<u8> {
    let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let fill = if number % 64 == 7 { 40_000 } else { mixed >> 56 };
    let words = [number, Instant::now().as_nanos()];
    let head = words.iter().flat_map(|word| word.to_le_bytes());
    head.chain((0..fill).map(|at| (mixed >> (at % 57)) as u8)).collect()
}

/// Which item of an honest pusher these bytes are, and when it was pushed; `None` when a byte of it is wrong.
pub fn read(bytes: &[u8]) -> Option<(u64, Instant)> {
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let (number, pushed) = (word(0)?, Instant::from_nanos(word(8)?));
    (item(number).get(HEAD..) == bytes.get(HEAD..)).then_some((number, pushed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_back_and_torn_ones_are_noticed() {
        for number in 0..200 {
            let mut bytes = item(number);
            assert!(read(&bytes).is_some_and(|(it, pushed)| it == number && pushed <= Instant::now()));
            match bytes.get_mut(HEAD..).and_then(|fill| fill.last_mut()) {
                Some(last) => *last ^= 1,
                None => bytes.push(0),
            }
            assert_eq!(read(&bytes), None);
            assert_eq!(read(&bytes[..HEAD - 1]), None);
        }
    }
}
