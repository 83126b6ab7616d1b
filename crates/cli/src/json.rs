//! JSON that says nothing to a terminal.

use serde::Serialize;

use crate::failure::Failure;
use crate::printable::hides;

/// JSON over several lines.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map(|text| quiet(&text)).map_err(not_written)
}

/// JSON in one line.
pub(crate) fn to_json_line(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map(|text| quiet(&text)).map_err(not_written)
}

fn not_written(error: serde_json::Error) -> Failure {
    Failure::Failed(format!("cannot write JSON: {error}"))
}

/// Escapes what could speak to a terminal. JSON leaves some of it as it is; it can stand in strings only.
fn quiet(json: &str) -> String {
    let mut quiet = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || !hides(character) {
            quiet.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                quiet.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    quiet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_nothing_to_a_terminal_and_reads_back_the_same() {
        let hostile = "a\x1b[31m\u{9b}2J\u{202e}\u{7f}é\n\u{e0001}";
        for json in [to_json(&hostile), to_json_line(&[hostile])] {
            let json = json.unwrap_or_else(|error| panic!("{error}"));
            assert!(!json.chars().any(|it| it != '\n' && hides(it)), "{json:?}");
            let back: serde_json::Value = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(back.get(0).unwrap_or(&back), hostile);
        }
    }
}
