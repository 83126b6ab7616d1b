//! The roles in which this program is started again.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wharf_message_passing::{Item, Puller, Wait};

use crate::places::options;
use crate::suite::{say, told};
use crate::world::{SOON, node_at};

pub(crate) fn play(role: &str, path: &Path, words: &[&str]) -> bool {
    match (role, words) {
        ("works", [name, prefetch]) => {
            works(node_at(path).queue(*name).prefetch(prefetch.parse().unwrap()).wait(Wait::Sleep).puller().unwrap());
        }
        ("works-at", [address, secrets]) => {
            let queue = options(path, Path::new(secrets)).queue(*address).wait(Wait::Sleep);
            works(queue.puller_timeout(SOON).unwrap());
        }
        ("works-some", [name, count]) => works_some(path, name, count.parse().unwrap()),
        ("works-aloud", [name]) => works_aloud(path, name),
        ("pushes-slowly", [name, count]) => pushes_slowly(path, name, count.parse().unwrap()),
        ("pushes", [name, count]) => pushes(path, name, count.parse().unwrap()),
        ("pushes-at", [address, secrets, count]) => pushes_at(path, address, secrets, count.parse().unwrap()),
        ("pushes-in-vain", [name]) => pushes_in_vain(path, name),
        ("pushes-short", []) => crate::shortage::pushes_short(),
        _ => return false,
    }
    true
}

/// Does what the item says, in words; gives back what is to be held.
pub(crate) fn work(item: Item) -> Option<Item> {
    let text = String::from_utf8_lossy(&item).into_owned();
    match text.split(' ').next().unwrap_or_default() {
        "hold" => return Some(item),
        "drop" => drop(item),
        "back" => item.give_back().unwrap(),
        "poison" => rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap(),
        // Its pusher may be gone by now.
        _ => drop(item.ack()),
    }
    None
}

/// Works until nothing comes for so long; what it was given is in the answer.
pub(crate) fn work_off(puller: &mut Puller, idle: Duration) -> Vec<Vec<u8>> {
    let mut done = Vec::new();
    while let Ok(item) = puller.recv_timeout(idle) {
        done.push(item.to_vec());
        item.ack().unwrap();
    }
    done
}

/// All of them work while something else goes on; what each was given is in the answer.
pub(crate) fn beside(pullers: &mut [Puller], meanwhile: impl FnOnce()) -> Vec<Vec<Vec<u8>>> {
    /// Whatever comes of what goes on, they end with it.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    let works = |puller: &mut Puller| {
        let mut done = Vec::new();
        while !over.load(Ordering::Relaxed) {
            done.extend(work_off(puller, Duration::from_millis(2)));
        }
        done
    };
    std::thread::scope(|scope| {
        let _over = Over(&over);
        let working: Vec<_> = pullers.iter_mut().map(|puller| scope.spawn(|| works(puller))).collect();
        meanwhile();
        over.store(true, Ordering::Relaxed);
        working.into_iter().map(|it| it.join().unwrap()).collect()
    })
}

/// Says its process id, and works until it is told to end, or is killed.
fn works(mut puller: Puller) {
    say(std::process::id());
    // The end of the input ends it; until then it works.
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            told();
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut held = Vec::new();
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            if let Ok(item) = puller.recv_timeout(Duration::from_millis(5)) {
                held.extend(work(item));
            }
        }
    });
}

/// Takes so many items, works on them when it is told, and leaves in good order.
fn works_some(path: &Path, name: &str, count: usize) {
    let mut puller = node_at(path).queue(name).puller().unwrap();
    say(std::process::id());
    let items: Vec<_> = (0..count).map_while(|_| puller.recv_timeout(SOON).ok()).collect();
    say("taken");
    told();
    drop(puller);
    for item in items {
        say(String::from_utf8_lossy(&item));
        work(item);
    }
    say("left");
    told();
}

/// Does what it is given, and says what that was when it is done.
fn works_aloud(path: &Path, name: &str) {
    let mut puller = node_at(path).queue(name).wait(Wait::Sleep).puller().unwrap();
    loop {
        if let Ok(item) = puller.recv_timeout(Duration::from_millis(100)) {
            let text = String::from_utf8_lossy(&item).into_owned();
            item.ack().unwrap();
            say(text);
        }
    }
}

/// Pushes so many numbered items when somebody is there who takes them, and lets him fall asleep before each.
fn pushes_slowly(path: &Path, name: &str, count: u64) {
    let mut pusher = node_at(path).queue(name).wait(Wait::Sleep).pusher().unwrap();
    crate::world::eventually("somebody is there", || pusher.pullers() > 0);
    for number in 0..count {
        std::thread::sleep(Duration::from_millis(20));
        pusher.push(format!("do {number}").as_bytes()).unwrap();
    }
    let outcome = pusher.flush(SOON);
    say(format_args!("{} left, {outcome:?}, {:?}", pusher.unsettled(), pusher.cut_off()));
    told();
}

/// Waits in a call for somebody who does what it has pushed.
fn pushes_in_vain(path: &Path, name: &str) {
    let mut pusher = node_at(path).queue(name).wait(Wait::Sleep).pusher().unwrap();
    pusher.push(b"anything").unwrap();
    say("waits");
    pusher.flush(SOON).unwrap();
}

/// Pushes so many numbered items at an address, which it says, and waits to be killed.
fn pushes_at(path: &Path, address: &str, secrets: &str, count: u64) {
    let queue = options(path, Path::new(secrets)).queue(address).wait(Wait::Sleep);
    let mut pusher = queue.pusher().unwrap();
    say(pusher.address().unwrap());
    for number in 0..count {
        pusher.push(format!("do {number}").as_bytes()).unwrap();
    }
    told();
}

/// Pushes so many numbered items, says how many of them are done, and leaves when it is told.
fn pushes(path: &Path, name: &str, count: u64) {
    let mut pusher = node_at(path).queue(name).wait(Wait::Sleep).pusher().unwrap();
    say(std::process::id());
    for number in 0..count {
        pusher.push(format!("do {}-{number}", std::process::id()).as_bytes()).unwrap();
    }
    let outcome = pusher.flush(SOON);
    say(format_args!("{} left, {outcome:?}", pusher.unsettled()));
    told();
}
