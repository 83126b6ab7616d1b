//! Private links in memory between the ends of services and of queues that meet by name, and what these ends have in common.
//!
//! Each side brings half of a link (`terms.rs`): the guest with its offer (`guest.rs`), the host with its answer (`join`). Word
//! of who came and went is left at a `Hub`, whose bell all links of an end share; `rota.rs` says whom to look at first, and
//! `rest.rs` sleeps for all of them. Over an address they come in at an `Entrance`.

pub(super) mod entrance;
mod guest;
mod hub;
pub(super) mod rest;
mod rota;
mod terms;

pub(super) use self::guest::{CUT_OFF, Guest, News};
pub(super) use self::hub::Hub;
pub(super) use self::rota::Rota;

use self::terms::{Half, Prepared, line};
use super::meeting::is_trusted;
use crate::link::Link;
use crate::node::{Pairing, Parcel, Refusal};
use crate::options::Options;

/// What has come of an offer.
pub(super) struct Met {
    pub(super) link: Link,
    /// The guest reads the short headers of services.
    pub(super) short_headers: bool,
    /// What the guest is to be answered with.
    pub(super) answer: Parcel,
}

/// The host's half of meeting: joins what a guest has brought with a half of its own.
pub(super) fn join<T>(
    offer: Parcel,
    pairing: &Pairing,
    hub: &Hub<T>,
    options: &Options,
    name: &str,
) -> Result<Met, Refusal> {
    let theirs = Half::read(&offer.bytes).map_err(Refusal::Words)?;
    let trusted = is_trusted(options.trust, pairing);
    let mut fds = offer.fds;
    // The connection for both ends' lives comes last.
    let mouth = line(&mut fds)?;
    let (mut ours, mut passed) = Prepared::new(options, trusted.then(|| hub.ringer()))?;
    let (lines, theirs_to_speak) = ours.lines(mouth, trusted)?;
    passed.extend(theirs_to_speak);
    let answer = Parcel { bytes: ours.half().write(), fds: passed };
    let link = ours.join(theirs, fds, lines, pairing, trusted, (options, name))?;
    Ok(Met { link, short_headers: theirs.short_headers, answer })
}
