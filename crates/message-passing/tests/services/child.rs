//! The roles in which this program is started again.

use std::path::Path;
use std::time::Duration;

use wharf_message_passing::{CallError, Client, Outcome, Request, Server, Wait};

use crate::places::options;
use crate::suite::{say, told};
use crate::world::{SOON, node_at};

pub(crate) fn play(role: &str, path: &Path, words: &[&str]) -> bool {
    match (role, words) {
        ("serves", [name]) => {
            let mut server = node_at(path).service(*name).wait(Wait::Sleep).server().unwrap();
            say(std::process::id());
            serve_until_told(&mut server);
        }
        ("serves-at", [address, secrets]) => {
            let service = options(path, Path::new(secrets)).service(*address).wait(Wait::Sleep);
            let mut server = service.server().unwrap();
            say(server.address().unwrap());
            serve_until_told(&mut server);
        }
        ("serves-some", [name, count]) => serves_some(path, name, count.parse().unwrap()),
        ("asks", [name, count]) => asks(path, name, count.parse().unwrap()),
        ("serves-one", [name]) => serves_one(path, name),
        ("asks-once", [name, servers]) => asks_once(path, name, servers.parse().unwrap()),
        ("holds", [name]) => holds(node_at(path).service(*name).client().unwrap()),
        ("holds-at", [address, secrets]) => {
            holds(options(path, Path::new(secrets)).service(*address).client_timeout(SOON).unwrap());
        }
        ("serves-few", []) => crate::shortage::serves_few(),
        ("crowd", [name, count]) => {
            let node = node_at(path);
            crowd(count.parse().unwrap(), || node.service(*name).wait(Wait::Sleep).client().unwrap());
        }
        ("crowd-at", [address, secrets, count]) => {
            let service = options(path, Path::new(secrets)).service(*address).wait(Wait::Sleep);
            crowd(count.parse().unwrap(), || service.client_timeout(SOON).unwrap());
        }
        _ => return false,
    }
    true
}

/// Answers what the request says, in words; gives back what is not answered.
pub(crate) fn answer(request: Request) -> Option<Request> {
    let text = String::from_utf8_lossy(&request).into_owned();
    let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
    // A client that is gone by then is one of the things that are tried here.
    let _ = match verb {
        "echo" => {
            // Bytes, and not the text that was made of them.
            let rest = request.get(5..).unwrap_or_default().to_vec();
            request.reply(&rest)
        }
        "who" => request.reply(std::process::id().to_string().as_bytes()),
        "left" => {
            let left = format!("{:?}", request.time_left());
            request.reply(left.as_bytes())
        }
        "count" => {
            let mut stream = request.stream();
            for number in 0..rest.parse::<u64>().unwrap() {
                if stream.send(number.to_string().as_bytes()).is_err() {
                    return None;
                }
            }
            stream.end()
        }
        "for" => {
            let mut stream = request.stream();
            let began = std::time::Instant::now();
            while stream.send(b"again").is_ok() {
                assert!(began.elapsed() < SOON, "nobody has said that it is enough");
            }
            Ok(())
        }
        // Which process it was, and which request.
        "tag" => request.reply(format!("{} {rest}", std::process::id()).as_bytes()),
        "stall" => {
            let mut stream = request.stream();
            for number in 0..rest.parse::<u64>().unwrap() {
                let _ = stream.send(number.to_string().as_bytes());
            }
            // Neither ended nor failed, as long as this process lives.
            std::mem::forget(stream);
            Ok(())
        }
        "fail" => request.fail(rest),
        "size" => request.reply(&vec![b'x'; rest.parse().unwrap()]),
        "drop" => {
            drop(request);
            Ok(())
        }
        _ => return Some(request),
    };
    None
}

/// Answers until the server ends, or nothing comes for so long; what is not answered is held until then.
pub(crate) fn serve(server: &mut Server, idle: Duration) -> Vec<Request> {
    let mut held = Vec::new();
    while let Ok(request) = server.recv_timeout(idle) {
        if &*request == b"stop" {
            request.reply(b"stopped").unwrap();
            break;
        }
        held.extend(answer(request));
    }
    held
}

/// Answers until it is told to end, or is killed.
fn serve_until_told(server: &mut Server) {
    // The end of the input ends it; until then it serves.
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            told();
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut held = Vec::new();
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            if let Ok(request) = server.recv_timeout(Duration::from_millis(5)) {
                held.extend(answer(request));
            }
        }
    });
}

/// Answers so many requests when it is told, and then leaves in good order.
fn serves_some(path: &Path, name: &str, count: usize) {
    let mut server = node_at(path).service(name).server().unwrap();
    say(std::process::id());
    told();
    for _ in 0..count {
        let _ = server.recv_timeout(SOON).map(answer);
    }
    drop(server);
    say("left");
    told();
}

/// Asks again and again, with deadlines, whatever becomes of it; says what came of how many.
/// Sleeps until somebody asks, and answers.
fn serves_one(path: &Path, name: &str) {
    let mut server = node_at(path).service(name).wait(Wait::Sleep).server().unwrap();
    say(std::process::id());
    answer(server.recv_timeout(SOON).unwrap());
    told();
}

/// Asks when so many servers are there, and lets them fall asleep before.
fn asks_once(path: &Path, name: &str, servers: usize) {
    let mut client = node_at(path).service(name).client().unwrap();
    crate::world::eventually("they are there", || client.servers() == servers);
    std::thread::sleep(Duration::from_millis(50));
    let outcome = client.request(b"echo once").limit(SOON).call();
    say(match outcome {
        Ok(answer) => String::from_utf8_lossy(&answer).into_owned(),
        Err(error) => format!("{:?}: {error}", error.outcome()),
    });
    told();
}

fn asks(path: &Path, name: &str, count: u64) {
    let mut client = node_at(path).service(name).client().unwrap();
    say(std::process::id());
    let me = std::process::id();
    let (mut answered, mut unknown, mut never) = (0, 0, 0);
    let mut number = 0_u64;
    while count == 0 || number < count {
        number += 1;
        let text = format!("echo {me}-{number}");
        match client.call(text.as_bytes(), SOON) {
            Ok(answer) => {
                assert_eq!(answer, format!("{me}-{number}").as_bytes(), "somebody else's answer");
                answered += 1;
            }
            Err(error) if error.outcome() == Outcome::Unknown => unknown += 1,
            Err(error) if error.outcome() == Outcome::NeverSent => never += 1,
            Err(other) => panic!("{other}"),
        }
        if number.is_multiple_of(16) {
            let results = client.call_stream(b"count 3", SOON);
            match results.and_then(Iterator::collect::<Result<Vec<_>, CallError>>) {
                Ok(items) => assert_eq!(items, [b"0", b"1", b"2"]),
                Err(error) => assert_ne!(error.outcome(), Outcome::Answered, "{error}"),
            }
        }
    }
    say(format_args!("{answered} {unknown} {never}"));
    told();
}

/// Starts a call that is not answered, and waits to be killed.
fn holds(mut client: Client) {
    let call = client.request(b"hold").start().unwrap();
    say("asked");
    let _ = client.wait(call);
}

/// So many clients in one process, each of which asks once, and again when it is told.
fn crowd(count: usize, client: impl Fn() -> Client) {
    let mut clients: Vec<_> = (0..count).map(|_| client()).collect();
    let mut round = || {
        for (number, client) in clients.iter_mut().enumerate() {
            let answer = client.call(format!("echo {number}").as_bytes(), SOON).unwrap();
            assert_eq!(answer, number.to_string().as_bytes());
        }
    };
    round();
    say("ready");
    told();
    round();
    say("again");
    told();
}
