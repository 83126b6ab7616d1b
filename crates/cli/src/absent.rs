//! What to say of a name that nobody serves or owns: what is there by this name, if anything is, and a command that can be typed as it stands.

use std::borrow::Cow;

use wharf::Pattern;

use crate::look::endpoints;

/// Why nothing is there to be asked: `doing` and `wanted` say what was looked for, `otherwise` what helps where nothing has this name.
pub(crate) fn absent(doing: &str, wanted: Pattern, name: &str, otherwise: &str) -> String {
    // Where nobody can be looked for, there is less to say.
    let there = endpoints().unwrap_or_default().into_iter().find(|it| it.name == name && it.pattern != wanted);
    let Some(there) = there else { return format!("nobody {doing} '{name}': {otherwise}") };
    let (what, verb, does) = match there.pattern {
        Pattern::Topic => ("a topic", "sub", "listens to it"),
        Pattern::Event => ("an event", "event wait", "waits for it"),
        Pattern::State => ("a state", "state get", "reads it"),
        Pattern::Service => ("a service", "call", "asks it"),
        Pattern::Queue => ("a queue", "pull", "takes from it"),
        Pattern::Bus => ("a bus", "ls", "shows who is there"),
        _ => ("something else", "ls", "shows who is there"),
    };
    format!("nobody {doing} '{name}', which is {what}: {} {does}", command(&["wharf", verb], name, ""))
}

/// A command in quotes, with this name as a shell takes it.
pub(crate) fn command(words: &[&str], name: &str, rest: &str) -> String {
    let line = format!("{} {}{rest}", words.join(" "), quoted(name));
    // The quotes around it are not part of it.
    let quote = if line.contains('\'') { '"' } else { '\'' };
    format!("{quote}{line}{quote}")
}

/// The word as a shell takes it.
fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |it: char| it.is_alphanumeric() || "_-./:@%+,=".contains(it);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_as_it_stands() {
        for (name, said) in [
            ("robot/speed", "'wharf serve robot/speed -- COMMAND'"),
            ("bad name!", "\"wharf serve 'bad name!' -- COMMAND\""),
            ("it's", r#""wharf serve 'it'\''s' -- COMMAND""#),
            ("$(reboot)", "\"wharf serve '$(reboot)' -- COMMAND\""),
        ] {
            assert_eq!(command(&["wharf", "serve"], name, " -- COMMAND"), said);
        }
    }
}
