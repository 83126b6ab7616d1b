//! Ends in words, the same in every verb.

use wharf::{EndpointInfo, Part, Pattern};

use crate::units;

/// What an end is called in its pattern.
pub(crate) fn role(pattern: Pattern, part: Part) -> &'static str {
    match (pattern, part) {
        (Pattern::Topic, Part::Host) => "publisher",
        (Pattern::Topic, Part::Guest) => "subscriber",
        (Pattern::Event, Part::Host) => "notifier",
        (Pattern::Event, Part::Guest) => "listener",
        (Pattern::State, Part::Host) => "owner",
        (Pattern::State, Part::Guest) => "watcher",
        (Pattern::Service, Part::Host) => "server",
        (Pattern::Service, Part::Guest) => "client",
        (Pattern::Queue, Part::Host) => "pusher",
        (Pattern::Queue, Part::Guest) => "puller",
        (Pattern::Bus, Part::Host) => "speaker",
        (Pattern::Bus, Part::Guest) => "hearer",
        (_, Part::Host) => "host",
        (_, Part::Guest) => "guest",
    }
}

/// `12 (camera)`.
pub(super) fn process(it: &EndpointInfo) -> String {
    format!("{} ({})", it.pid, it.program)
}

/// `12.0 s`, `3 min`, `2 h`, `5 d`.
pub(super) fn age(it: &EndpointInfo) -> String {
    match it.age.as_secs() {
        0..120 => units::nanos(it.age.as_nanos() as f64),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// What it carries, as far as it says.
pub(super) fn carried(it: &EndpointInfo) -> &str {
    if it.type_name.is_empty() { "-" } else { &it.type_name }
}
