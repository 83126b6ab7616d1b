//! The roles in which this program is started again.

use std::path::Path;
use std::time::Duration;

use wharf_message_passing::{NodeOptions, OnFull, RecvError, Selector, Wait};
use wharf_sys::directory::Domain;

use crate::ledger::{Ledger, message};
use crate::suite::{say, told};
use crate::world::node_at;

pub(crate) fn play(role: &str, path: &Path, words: &[&str]) -> bool {
    match (role, words) {
        ("publishes", [name, who, count, len, policy]) => publishes(path, name, who, count, len, policy),
        ("subscribes", [name, policy]) => subscribes(path, name, policy),
        ("talks", [name, who]) => crate::buses_at_random::talks(path, name, who.parse().unwrap()),
        ("joins", [name]) => joins(path, name),
        ("sits", [name]) => sits(path, name),
        ("notifies", [name, count]) => notifies(path, name, count),
        ("selects", [hears, answers]) => selects(path, hears, answers),
        ("owns", [name, value]) => owns(path, name, value),
        ("guest", [name]) => guest(path, name),
        ("wanders", [name]) => wanders(path, name),
        ("starves", [name, first, free]) => starves(path, name, first, free),
        _ => return false,
    }
    true
}

pub(crate) fn policy(word: &str) -> OnFull {
    match word {
        "drop" => OnFull::DropOldest,
        "reject" => OnFull::Reject,
        "block" => OnFull::Block { patience: None },
        "patient" => OnFull::Block { patience: Some(Duration::from_millis(50)) },
        other => panic!("no policy {other}"),
    }
}

/// Says its process id, waits to be told, sends so many messages (0 is without end), says "sent", and waits.
fn publishes(path: &Path, name: &str, who: &str, count: &str, len: &str, on_full: &str) {
    let (who, count, len): (u64, u64, usize) = (who.parse().unwrap(), count.parse().unwrap(), len.parse().unwrap());
    let node = node_at(path);
    let mut publisher = node.topic(name).capacity(1 << 16).on_full(policy(on_full)).publisher().unwrap();
    say(std::process::id());
    told();
    let mut number = 0;
    while count == 0 || number < count {
        match publisher.send(&message(who, number, len)) {
            Ok(()) => number += 1,
            Err(wharf_message_passing::SendError::Full) => std::thread::yield_now(),
            Err(other) => panic!("{other}"),
        }
    }
    say("sent");
    told();
}

/// Says "ready", then receives until it is told that it was enough; what it received is in order, or it panics.
fn subscribes(path: &Path, name: &str, wait: &str) {
    let wait = if wait == "sleep" { Wait::Sleep } else { Wait::Adaptive };
    let mut subscriber = node_at(path).topic(name).wait(wait).subscriber().unwrap();
    say("ready");
    let enough = std::sync::atomic::AtomicBool::new(false);
    let mut ledger = Ledger::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            told();
            enough.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !enough.load(std::sync::atomic::Ordering::Relaxed) {
            match ledger.enter(subscriber.recv_timeout(Duration::from_millis(10))) {
                Ok(()) | Err(RecvError::Timeout) => {}
                Err(other) => panic!("{other}"),
            }
        }
    });
    say(format_args!("{} {}", ledger.received(), ledger.missed));
}

/// Says "ready" and does nothing, with a subscriber that receives nothing.
fn sits(path: &Path, name: &str) {
    let _subscriber = node_at(path).topic(name).subscriber().unwrap();
    say("ready");
    told();
}

/// Joins a bus, says "ready", and answers each message with itself, until it is told that it was enough.
fn joins(path: &Path, name: &str) {
    let mut member = node_at(path).bus(name).join().unwrap();
    say("ready");
    let enough = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            told();
            enough.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !enough.load(std::sync::atomic::Ordering::Relaxed) {
            let heard = member.recv_timeout(Duration::from_millis(5)).map(|sample| sample.to_vec());
            match heard {
                // An answer is not answered.
                Ok(message) if message.starts_with(b"?") => member.send(&message[1..]).unwrap(),
                Ok(_) | Err(RecvError::Timeout | RecvError::Lagged { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    });
}

/// Says "ready", waits to be told, gives notice so often.
fn notifies(path: &Path, name: &str, count: &str) {
    let mut notifier = node_at(path).event(name).notifier().unwrap();
    say("ready");
    told();
    for _ in 0..count.parse::<u32>().unwrap() {
        notifier.notify().unwrap();
    }
    say("done");
    told();
}

/// Says "ready" and answers every message with itself, until there is an empty one.
fn selects(path: &Path, hears: &str, answers: &str) {
    let node = node_at(path);
    let mut subscriber = node.topic(hears).wait(Wait::Sleep).subscriber().unwrap();
    let mut publisher = node.topic(answers).publisher().unwrap();
    let mut selector = Selector::new();
    say("ready");
    loop {
        selector.wait(&mut [(&mut subscriber, ())]).unwrap();
        match subscriber.try_recv().unwrap() {
            end if end.is_empty() => return,
            message => publisher.send(&message).unwrap(),
        }
    }
}

/// Owns a state, says "ready", and sets a larger value each time that it is told.
fn owns(path: &Path, name: &str, value: &str) {
    let mut value: u64 = value.parse().unwrap();
    let mut owner = node_at(path).state_of::<u64>(name).owner(&value).unwrap();
    say("ready");
    while told() {
        value += 1;
        owner.set(&value).unwrap();
    }
}

/// Names the directory by a relative path, goes elsewhere, subscribes, and says how many publishers there are.
fn wanders(path: &Path, name: &str) {
    std::env::set_current_dir(path.parent().unwrap()).unwrap();
    let domain = Domain::at(Path::new(path.file_name().unwrap())).unwrap();
    std::env::set_current_dir("/").unwrap();
    let node = NodeOptions::new().domain(domain).open().unwrap();
    let mut subscriber = node.topic(name).subscriber().unwrap();
    say(subscriber.publishers().count());
    told();
}

/// Subscribes and says "ready", receives so many messages, and lacks descriptors (but for so many) from when it is told until
/// it is told again. Then it says what it receives, until there is an empty message.
fn starves(path: &Path, name: &str, first: &str, free: &str) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut subscriber = node_at(path).topic(name).subscriber().unwrap();
    say("ready");
    for _ in 0..first.parse().unwrap() {
        subscriber.recv().unwrap();
    }
    told();
    let before = getrlimit(Resource::Nofile);
    let listed = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut used: Vec<u64> = listed.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok()).collect();
    // One of them was what was read, and is free again.
    used.retain(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok());
    let free: usize = free.parse().unwrap();
    let most = (0..).filter(|fd| !used.contains(fd)).nth(free).unwrap();
    let mut starved = before;
    starved.current = Some(most);
    setrlimit(Resource::Nofile, starved).unwrap();
    say("starved");
    told();
    setrlimit(Resource::Nofile, before).unwrap();
    say("fed");
    crate::world::eventually("there is a publisher", || subscriber.publishers().count() == 1);
    say("met");
    loop {
        match subscriber.recv_timeout(crate::world::SOON) {
            Ok(end) if end.is_empty() => break,
            Ok(message) => say(format_args!("message {}", message.sequence())),
            Err(RecvError::Lagged { missed, .. }) => say(format_args!("lagged {missed}")),
            Err(RecvError::CutOff { .. }) => say("cut off"),
            Err(other) => panic!("{other}"),
        }
    }
    say("end");
}

/// Another user: a node in a directory that is not its own.
fn guest(path: &Path, name: &str) {
    let node = Domain::at(path)
        .map_err(|error| error.to_string())
        .and_then(|domain| NodeOptions::new().domain(domain).allow_uid(0).open().map_err(|error| error.to_string()));
    match node {
        Ok(node) => {
            let _subscriber = node.topic(name).subscriber().unwrap();
            say("ready");
            told();
        }
        Err(why) => say(format_args!("cannot: {why}")),
    }
}
