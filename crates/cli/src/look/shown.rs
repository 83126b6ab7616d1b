//! Ends as JSON shows them; `docs/topics-cli.md` describes every field.

use std::time::Duration;

use serde::Serialize;
use wharf::{EndpointInfo, Statistics};

use super::role;

/// An end.
#[derive(Serialize)]
pub(super) struct ShownEndpoint<'a> {
    pattern: String,
    role: &'static str,
    name: &'a str,
    type_name: &'a str,
    type_size_bytes: u64,
    pid: u32,
    program: &'a str,
    uid: u32,
    node: String,
    open_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<ShownStatistics>,
}

/// What it has done.
#[derive(Serialize)]
pub(crate) struct ShownStatistics {
    sent_messages: u64,
    sent_bytes: u64,
    received_messages: u64,
    received_bytes: u64,
    lost_lagged: u64,
    lost_rejected: u64,
    lost_died: u64,
    blocked_seconds: f64,
    depth: u64,
    deepest: u64,
    largest_bytes: u64,
    peers: u64,
    sleeps: u64,
    memory_bytes: u64,
}

impl ShownEndpoint<'_> {
    /// Who it is.
    pub(super) fn of(it: &EndpointInfo) -> ShownEndpoint<'_> {
        ShownEndpoint {
            pattern: it.pattern.to_string(),
            role: role(it.pattern, it.part),
            name: &it.name,
            type_name: &it.type_name,
            type_size_bytes: it.type_size,
            pid: it.pid,
            program: &it.program,
            uid: it.uid,
            node: it.node.to_string(),
            open_seconds: seconds(it.age),
            statistics: None,
        }
    }

    /// Who it is and what it has done.
    pub(super) fn with_statistics(it: &EndpointInfo) -> ShownEndpoint<'_> {
        ShownEndpoint { statistics: Some(ShownStatistics::of(&it.statistics)), ..ShownEndpoint::of(it) }
    }
}

impl ShownStatistics {
    pub(crate) fn of(it: &Statistics) -> ShownStatistics {
        ShownStatistics {
            sent_messages: it.sent_messages,
            sent_bytes: it.sent_bytes,
            received_messages: it.received_messages,
            received_bytes: it.received_bytes,
            lost_lagged: it.lost_lagged,
            lost_rejected: it.lost_rejected,
            lost_died: it.lost_died,
            blocked_seconds: seconds(it.blocked),
            depth: it.depth,
            deepest: it.deepest,
            largest_bytes: it.largest_bytes,
            peers: it.peers,
            sleeps: it.sleeps,
            memory_bytes: it.memory_bytes,
        }
    }
}

/// To the microsecond.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}
