//! Which names look like one.

/// Whether two nicknames look like one: they differ by case, by width, or by letters of Greek and Cyrillic and by digits that look
/// like Latin letters.
pub(super) fn alike(a: &str, b: &str) -> bool {
    fn seen(nick: &str) -> impl Iterator<Item = char> {
        nick.chars().map(narrow).flat_map(char::to_lowercase).map(latin)
    }
    seen(a).eq(seen(b))
}

/// A character of half the width that looks the same.
fn narrow(character: char) -> char {
    match u32::from(character) {
        wide @ 0xff01..=0xff5e => char::from_u32(wide - 0xfee0).unwrap_or(character),
        _ => character,
    }
}

/// The Latin letter that a small letter looks like, in one of its cases; one for all that look like a stroke.
fn latin(character: char) -> char {
    match character {
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' => 'e',
        'һ' | 'н' | 'η' => 'h',
        'i' | '1' | '|' | 'і' | 'ι' | 'ı' | 'ӏ' => 'l',
        'ј' | 'ϳ' => 'j',
        'к' | 'κ' => 'k',
        'м' | 'μ' => 'm',
        'ν' => 'n',
        '0' | 'о' | 'ο' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'ԝ' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'υ' => 'y',
        'ζ' => 'z',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_one() {
        for (a, b) in
            [("anna", "ANNA"), ("anna", "аnnа"), ("bob", "ｂｏｂ"), ("Ivan", "lvan"), ("bob", "b0b"), ("ΑΝΝΑ", "anna")]
        {
            assert!(alike(a, b), "{a} {b}");
        }
        for (a, b) in [("anna", "anna2"), ("anna", "hanna"), ("m12", "m21"), ("漢", "字"), ("", "a")] {
            assert!(!alike(a, b), "{a} {b}");
        }
    }
}
