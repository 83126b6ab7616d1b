//! Everybody is asked at once, and everybody is accounted for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use wharf_message_passing::{
    Account, Answer, CallError, Client, EventListener, NodeEvent, Options, Outcome, Selector, Server, Survey, Wait,
};
use wharf_sys::directory::Domain;

use crate::child::answer;
use crate::world::{Process, SOON, World, eventually};

/// As long as a survey lasts that somebody does not answer.
/// Enough for those who answer, on a busy machine too.
const SHORT: Duration = Duration::from_millis(500);

pub(crate) fn processes(world: &World, name: &str, count: usize) -> (Vec<Process>, Vec<u32>) {
    // All are started before the first is waited for.
    let mut all: Vec<_> = (0..count).map(|_| world.start("serves", &[name])).collect();
    let pids = all.iter_mut().map(|it| it.line().parse().unwrap()).collect();
    (all, pids)
}

fn servers(world: &World, count: usize) -> Vec<Server> {
    (0..count).map(|_| world.node().service("many").server().unwrap()).collect()
}

fn client(world: &World) -> Client {
    world.node().service("many").client().unwrap()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.bytes().to_vec()).unwrap()
}

/// How many of each group: answered, failed, late, unknown, never asked. Nobody is in two, or in none.
pub(crate) fn groups(account: &Account) -> [usize; 5] {
    let groups = [
        account.answered().count(),
        account.failed().count(),
        account.late().count(),
        account.unknown().count(),
        account.never_asked().count(),
    ];
    assert_eq!(groups.iter().sum::<usize>(), account.len(), "{account}");
    let ids: BTreeSet<_> = account.iter().map(|it| it.server().id()).collect();
    assert_eq!(ids.len(), account.len(), "somebody is there twice: {account:?}");
    groups
}

/// The next request that is there for this server.
fn received(server: &mut Server) -> wharf_message_passing::Request {
    server.recv_timeout(SOON).unwrap()
}

pub(crate) fn everybody_answers(world: &World) {
    let (all, pids) = processes(world, "many", 3);
    let mut client = client(world);
    let program = std::env::current_exe().unwrap();
    let program = program.file_name().unwrap().to_str();
    for round in 0..10 {
        let mut survey = client.survey(format!("tag {round}").as_bytes(), SOON).unwrap();
        assert_eq!((survey.asked(), survey.is_over()), (3, false));
        let mut heard = BTreeSet::new();
        for answer in &mut survey {
            let answer = answer.unwrap();
            let pid = answer.server().pid().unwrap();
            assert_eq!(text(&answer), format!("{pid} {round}"));
            assert_eq!(answer.server().program(), program);
            assert!(heard.insert(pid), "{pid} was heard twice");
        }
        assert!(survey.is_over() && survey.next().is_none());
        let account = survey.account();
        assert_eq!(groups(&account), [3, 0, 0, 0, 0]);
        assert!(account.is_complete() && account.iter().all(|it| it.results() == 1));
        assert_eq!(heard, pids.iter().copied().collect());
    }
    assert_eq!(client.open_calls(), 0);
    all.into_iter().for_each(Process::end);
}

/// The results of each server come in their order, whatever the others send.
pub(crate) fn several_results(world: &World) {
    let (all, pids) = processes(world, "many", 3);
    let mut client = client(world);
    let mut survey = client.survey(b"count 500", SOON).unwrap();
    let mut heard: BTreeMap<u32, u64> = pids.iter().map(|pid| (*pid, 0)).collect();
    for answer in &mut survey {
        let answer = answer.unwrap();
        let next = heard.get_mut(&answer.server().pid().unwrap()).unwrap();
        assert_eq!(text(&answer), next.to_string());
        *next += 1;
    }
    assert!(heard.values().all(|count| *count == 500), "{heard:?}");
    let account = survey.account();
    assert_eq!(groups(&account), [3, 0, 0, 0, 0]);
    assert!(account.iter().all(|it| it.results() == 500));
    all.into_iter().for_each(Process::end);
}

pub(crate) fn every_kind_of_end(world: &World) {
    let mut servers = servers(world, 6);
    let mut client = client(world);
    let began = Instant::now();
    let mut survey = client.survey(b"question", SHORT).unwrap();
    let mut requests: Vec<_> = servers.iter_mut().map(received).collect();
    let left = requests[0].time_left().unwrap();
    assert!(left <= SHORT, "the deadline has come along: {left:?}");
    let silent = requests.pop().unwrap();
    let mut breaks = requests.pop().unwrap().stream();
    breaks.send(b"item").unwrap();
    breaks.fail("half-way").unwrap();
    drop(requests.pop().unwrap());
    requests.pop().unwrap().fail("no").unwrap();
    requests.pop().unwrap().reply(b"").unwrap();
    requests.pop().unwrap().reply(b"yes").unwrap();
    let mut heard: Vec<_> = survey.by_ref().map(|answer| text(&answer.unwrap())).collect();
    assert!(began.elapsed() >= SHORT, "it has not waited for the silent one");
    assert!(began.elapsed() < SHORT + SOON / 4, "it has waited past its deadline");
    heard.sort();
    assert_eq!(heard, ["", "item", "yes"]);
    let account = survey.account();
    assert_eq!(groups(&account), [2, 3, 1, 0, 0]);
    let words = account.to_string();
    assert!(words.starts_with("of 6 servers 2 answered, 3 failed, 1 were late"), "{words}");
    let why: Vec<_> = account.failed().map(ToString::to_string).collect();
    for told in ["half-way", "no", "dropped the request"] {
        assert!(why.iter().any(|why| why.contains(told)), "{told:?} is missing in {why:?}");
    }
    assert_eq!(account.failed().map(|it| it.results()).sum::<u64>(), 1, "the item before the failure");
    assert!(silent.is_cancelled());
}

/// What comes behind the deadline is told as late, and is no answer to what is asked later.
pub(crate) fn a_late_answer_is_nobodys(world: &World) {
    let mut servers = servers(world, 2);
    let mut client = client(world);
    let survey = client.survey(b"first", Duration::from_millis(20)).unwrap();
    let requests: Vec<_> = servers.iter_mut().map(received).collect();
    eventually("the time is over", || requests.iter().all(|it| it.time_left().unwrap().is_zero()));
    for request in requests {
        let _ = request.reply(b"too late");
    }
    let mut survey = survey;
    assert!(survey.next().is_none());
    assert_eq!(groups(&survey.account()), [0, 0, 2, 0, 0]);
    let mut survey = client.survey(b"second", SOON).unwrap();
    for server in &mut servers {
        received(server).reply(b"in time").unwrap();
    }
    assert!(survey.by_ref().all(|answer| text(&answer.unwrap()) == "in time"));
    assert_eq!(groups(&survey.account()), [2, 0, 0, 0, 0]);
}

pub(crate) fn nobody_there(world: &World) {
    let mut client = client(world);
    let mut survey = client.survey(b"anybody?", SOON).unwrap();
    assert!(survey.is_over() && survey.next().is_none());
    let account = survey.account();
    assert!(account.is_empty() && account.is_complete());
    assert_eq!(groups(&account), [0; 5]);
}

/// Whoever comes while a survey goes on is asked by the next one.
pub(crate) fn one_that_joins_is_not_asked(world: &World) {
    let mut first = servers(world, 1);
    let mut client = client(world);
    let mut survey = client.survey(b"who 1", SOON).unwrap();
    let (all, pids) = processes(world, "many", 1);
    assert!(survey.next_timeout(Duration::from_millis(20)).unwrap().is_none());
    assert_eq!((survey.asked(), survey.is_over()), (1, false));
    received(&mut first[0]).reply(b"alone").unwrap();
    let answers: Vec<_> = survey.by_ref().map(|answer| text(&answer.unwrap())).collect();
    assert_eq!(answers, ["alone"]);
    assert_eq!(groups(&survey.account()), [1, 0, 0, 0, 0]);
    let mut survey = client.survey(b"who", SOON).unwrap();
    assert_eq!(survey.asked(), 2);
    received(&mut first[0]).reply(b"0").unwrap();
    let mut answers: Vec<_> = survey.by_ref().map(|answer| text(&answer.unwrap())).collect();
    answers.sort_by_key(String::len);
    assert_eq!(answers, ["0", &pids[0].to_string()]);
    drop(survey);
    all.into_iter().for_each(Process::end);
}

/// What it has sent before is heard; the others are waited for as long as they need.
pub(crate) fn a_killed_server(world: &World) {
    let (mut all, pids) = processes(world, "many", 2);
    let mut steady = servers(world, 1);
    let mut client = client(world);
    let mut survey = client.survey(b"stall 3", SOON).unwrap();
    let mut heard = BTreeMap::<u32, u32>::new();
    while heard.values().sum::<u32>() < 6 {
        let answer = survey.next().unwrap().unwrap();
        *heard.entry(answer.server().pid().unwrap()).or_default() += 1;
    }
    assert!(pids.iter().all(|pid| heard[pid] == 3), "{heard:?}");
    all.iter_mut().for_each(Process::kill);
    eventually("both are known to be gone", || {
        assert!(survey.try_next().unwrap().is_none());
        survey.outstanding() == 1
    });
    received(&mut steady[0]).reply(b"alive").unwrap();
    assert_eq!(text(&survey.next().unwrap().unwrap()), "alive");
    assert!(survey.next().is_none());
    let account = survey.account();
    assert_eq!(groups(&account), [1, 0, 0, 2, 0]);
    for it in account.unknown() {
        assert!(pids.contains(&it.server().pid().unwrap()) && it.results() == 3);
        assert!(matches!(it.error(), Some(CallError::ServerGone { .. })), "{it}");
        assert!(it.server().program().is_some(), "the name of its program is known although it is dead");
    }
    assert_eq!(client.survey(b"", SHORT).unwrap().asked(), 1);
}

/// It is late, and nobody else is; when it goes on, it is one like the others.
pub(crate) fn a_stopped_server(world: &World) {
    let (all, pids) = processes(world, "many", 3);
    let mut client = client(world);
    all[1].signal(Signal::STOP);
    let began = Instant::now();
    let mut survey = client.survey(b"tag 1", SHORT).unwrap();
    let heard: BTreeSet<_> = survey.by_ref().map(|answer| answer.unwrap().server().pid().unwrap()).collect();
    assert!(began.elapsed() >= SHORT && began.elapsed() < SHORT + SOON / 4);
    let account = survey.account();
    assert_eq!(groups(&account), [2, 0, 1, 0, 0], "{account}");
    assert_eq!(account.late().next().unwrap().server().pid(), Some(pids[1]));
    assert_eq!(heard, BTreeSet::from([pids[0], pids[2]]));
    all[1].signal(Signal::CONT);
    let mut survey = client.survey(b"tag 2", SOON).unwrap();
    assert!(survey.by_ref().all(|answer| text(&answer.unwrap()).ends_with(" 2")), "its late answer is nobody's");
    assert_eq!(groups(&survey.account()), [3, 0, 0, 0, 0]);
    all.into_iter().for_each(Process::end);
}

/// One that leaves in good order says what it has taken: of the rest it is known that nothing has happened.
pub(crate) fn a_server_that_leaves(world: &World) {
    let mut servers = servers(world, 2);
    let mut client = client(world);
    let mut survey = client.survey(b"first", SOON).unwrap();
    let held = received(&mut servers[1]);
    servers.clear();
    assert!(survey.next_timeout(Duration::from_millis(1)).unwrap().is_none());
    held.reply(b"still").unwrap();
    assert_eq!(text(&survey.next().unwrap().unwrap()), "still");
    assert!(survey.next().is_none());
    let account = survey.account();
    assert_eq!(groups(&account), [1, 0, 0, 0, 1], "{account}");
    assert!(matches!(account.never_asked().next().unwrap().error(), Some(CallError::NotTaken)));
    eventually("both have left", || client.servers() == 0);
    assert_eq!(client.survey(b"second", SOON).unwrap().asked(), 0);
}

/// A call that waits for room at one server is not kept awake by the room that there is at another.
pub(crate) fn room_elsewhere_wakes_nobody(world: &World) {
    let large = vec![b'x'; 3_000];
    let mut client = world.node().service("many").wait(Wait::Sleep).client().unwrap();
    let _full = servers(world, 1);
    assert!(fill(&mut client, &large) > 0);
    let mut other = servers(world, 1);
    // By turns it would go to the other. By their keys some go to the one that is full, each with even chances.
    let is_full = (0..64).any(|key| {
        let (began, busy) = (Instant::now(), thread_time());
        let call = client.request(&large).limit(SHORT).key(key).start().unwrap();
        let outcome = client.wait(call);
        let (waited, busy) = (began.elapsed(), thread_time() - busy);
        assert!(waited >= SHORT && busy < waited / 2, "busy for {busy:?} of {waited:?}");
        // There is room at the other for the next.
        while other[0].try_recv().is_ok() {}
        matches!(outcome, Err(CallError::Full { .. }))
    });
    assert!(is_full, "none of 64 keys goes to the one that is full");
}

/// Fills the queue of the one server for this client; how many requests are in it.
fn fill(client: &mut Client, request: &[u8]) -> usize {
    let mut sent = 0;
    loop {
        let call = client.request(request).limit(Duration::from_millis(1)).start().unwrap();
        match client.wait(call).unwrap_err() {
            CallError::Full { .. } => return sent,
            // It is in the queue, and stays there.
            CallError::Timeout { .. } => sent += 1,
            other => panic!("{other}"),
        }
    }
}

/// One that does not receive is not asked, or is when it has room; the others do not wait for it, and nobody spins for it.
pub(crate) fn a_full_one_holds_up_nobody(world: &World) {
    let large = vec![b'x'; 3_000];
    let mut client = world.node().service("many").wait(Wait::Sleep).client().unwrap();
    let mut full = servers(world, 1);
    assert!(fill(&mut client, &large) > 0);
    let mut others = servers(world, 2);
    // For good.
    let busy = thread_time();
    let began = Instant::now();
    let mut survey = client.survey(&large, 2 * SHORT).unwrap();
    for server in &mut others {
        received(server).reply(b"here").unwrap();
    }
    assert_eq!(survey.by_ref().map(|answer| text(&answer.unwrap())).collect::<Vec<_>>(), ["here", "here"]);
    let (waited, busy) = (began.elapsed(), thread_time() - busy);
    assert!(waited >= 2 * SHORT && busy < waited / 2, "busy for {busy:?} of {waited:?}");
    let account = survey.account();
    assert_eq!(groups(&account), [2, 0, 0, 0, 1], "{account}");
    assert!(matches!(account.never_asked().next().unwrap().error(), Some(CallError::Full { .. })));
    // Until it receives.
    let mut survey = client.survey(&large, SOON).unwrap();
    for server in &mut others {
        received(server).reply(b"here").unwrap();
    }
    for _ in 0..2 {
        assert_eq!(text(&survey.next().unwrap().unwrap()), "here");
    }
    assert_eq!(survey.outstanding(), 1);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // What its callers have given up is dropped on the way; what is left is the survey's.
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                if let Ok(request) = full[0].recv_timeout(Duration::from_millis(5)) {
                    let _ = request.reply(b"at last");
                }
            }
        });
        assert_eq!(text(&survey.next().unwrap().unwrap()), "at last");
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(groups(&survey.account()), [3, 0, 0, 0, 0]);
}

/// How long this thread has run.
fn thread_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

pub(crate) fn dropped(world: &World) {
    let mut servers = servers(world, 2);
    let mut client = client(world);
    let survey = client.survey(b"question", SOON).unwrap();
    let requests: Vec<_> = servers.iter_mut().map(received).collect();
    assert!(requests.iter().all(|it| !it.is_cancelled()));
    drop(survey);
    eventually("both are cancelled", || requests.iter().all(|it| it.is_cancelled()));
    assert_eq!(client.open_calls(), 0);
}

/// Whoever has heard enough ends it; what was heard, what had come, and what is not known are told apart.
pub(crate) fn ended_early(world: &World) {
    let mut servers = servers(world, 3);
    let mut client = client(world);
    let mut survey = client.survey(b"question", SOON).unwrap();
    received(&mut servers[0]).reply(b"first").unwrap();
    assert_eq!(text(&survey.next().unwrap().unwrap()), "first");
    let held = received(&mut servers[1]);
    let mut stream = received(&mut servers[2]).stream();
    stream.send(b"1").unwrap();
    stream.send(b"2").unwrap();
    assert_eq!(text(&survey.next().unwrap().unwrap()), "1");
    let account = survey.account();
    assert_eq!(groups(&account), [1, 0, 0, 2, 0], "{account}");
    assert!(account.unknown().all(|it| matches!(it.error(), Some(CallError::Cancelled))));
    eventually("both are told", || held.is_cancelled() && stream.is_cancelled());
    assert_eq!(client.open_calls(), 0);
}

/// Calls that were started go on beside a survey, and neither takes the other's answers.
pub(crate) fn calls_beside_it(world: &World) {
    let mut servers = servers(world, 2);
    let mut client = client(world);
    let call = client.request(b"call").limit(SOON).start().unwrap();
    let mut survey = client.survey(b"survey", SOON).unwrap();
    let mut calls = 0;
    for server in &mut servers {
        let mut surveyed = false;
        while !surveyed {
            let request = received(server);
            surveyed = &*request == b"survey";
            calls += usize::from(!surveyed);
            let answer = request.to_vec();
            request.reply(&answer).unwrap();
        }
    }
    assert_eq!(calls, 1);
    let answers: Vec<_> = survey.by_ref().map(|answer| text(&answer.unwrap())).collect();
    assert_eq!(answers, ["survey", "survey"]);
    drop(survey);
    assert_eq!(client.wait(call).unwrap(), b"call");
}

pub(crate) fn too_many(world: &World) {
    let mut servers = servers(world, 2);
    let mut client = client(world);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // They take everything and answer nothing, and so the calls stay open.
        for server in &mut servers {
            scope.spawn(|| {
                let mut held = Vec::new();
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    held.extend(server.recv_timeout(Duration::from_millis(5)));
                }
            });
        }
        let calls: Vec<_> = (0..1_023).map(|_| client.request(b"").limit(SOON).start().unwrap()).collect();
        let survey = client.survey(b"", SOON).unwrap();
        assert_eq!((survey.asked(), survey.outstanding()), (2, 1));
        let account = survey.account();
        assert!(matches!(account.never_asked().next().unwrap().error(), Some(CallError::TooMany { limit: 1_024 })));
        assert_eq!(groups(&account), [0, 0, 0, 1, 1]);
        calls.into_iter().for_each(|call| client.cancel(call));
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// What is too large for one server is not kept from the others.
pub(crate) fn too_large(world: &World) {
    let mut small = world.node().service("many").max_message(1_000).server().unwrap();
    let mut large = servers(world, 1);
    let mut client = client(world);
    let request = vec![b'x'; 100_000];
    let mut survey = client.survey(&request, SOON).unwrap();
    assert_eq!(survey.outstanding(), 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let request = received(&mut large[0]);
            let len = request.len().to_string();
            request.reply(len.as_bytes()).unwrap();
        });
        assert_eq!(text(&survey.next().unwrap().unwrap()), "100000");
    });
    let account = survey.account();
    assert_eq!(groups(&account), [1, 0, 0, 0, 1]);
    assert!(matches!(account.never_asked().next().unwrap().error(), Some(CallError::NotSent(_))));
    assert!(small.try_recv().is_err());
}

pub(crate) fn fifty_servers(world: &World) {
    const COUNT: usize = 50;
    let (all, pids) = processes(world, "many", COUNT);
    let mut client = client(world);
    for round in 0..3 {
        let mut survey = client.survey(format!("tag {round}").as_bytes(), SOON).unwrap();
        assert_eq!(survey.asked(), COUNT);
        let heard: Vec<_> = survey.by_ref().map(|answer| answer.unwrap().server().pid().unwrap()).collect();
        assert_eq!(heard.len(), COUNT);
        assert_eq!(heard.iter().collect::<BTreeSet<_>>(), pids.iter().collect());
        assert_eq!(groups(&survey.account()), [COUNT, 0, 0, 0, 0]);
    }
    // Larger than the queues, in parts to all of them at once.
    let request = [b"echo ".to_vec(), vec![b'x'; 40_000]].concat();
    let mut survey = client.survey(&request, SOON).unwrap();
    assert!(survey.by_ref().all(|answer| answer.unwrap().len() == 40_000));
    assert_eq!(groups(&survey.account()), [COUNT, 0, 0, 0, 0]);
    all.into_iter().for_each(Process::end);
}

pub(crate) fn values(world: &World) {
    let mut servers = [2_u64, 3].map(|by| (by, world.node().service_of::<u64, u64>("times").typed_server().unwrap()));
    let mut client = world.node().service_of::<u64, u64>("times").typed_client().unwrap();
    let mut survey = client.survey(&7, SOON).unwrap();
    for (by, server) in &mut servers {
        let request = server.recv_timeout(SOON).unwrap();
        let mut stream = request.stream();
        stream.send(by).unwrap();
        stream.send(&(*by * 7)).unwrap();
        stream.end().unwrap();
    }
    let mut heard: Vec<u64> = survey.by_ref().map(|answer| *answer.unwrap()).collect();
    heard.sort_unstable();
    assert_eq!(heard, [2, 3, 14, 21]);
    assert!(survey.is_over() && survey.try_next().unwrap().is_none());
    assert_eq!(groups(&survey.account()), [2, 0, 0, 0, 0]);
}

/// An answer that is no such value is the failure of that server alone.
pub(crate) fn encoded(world: &World) {
    let mut good = world.node().service_of_serde::<String, Vec<u64>>("words").typed_server().unwrap();
    let mut bad = world.node().service_of_serde::<String, String>("words").typed_server().unwrap();
    let mut client = world.node().service_of_serde::<String, Vec<u64>>("words").typed_client().unwrap();
    let mut survey = client.survey(&"a bc".to_owned(), SOON).unwrap();
    let mut nonsense = bad.recv_timeout(SOON).unwrap().stream();
    nonsense.send(&"\u{ff}".repeat(3)).unwrap();
    assert!(survey.next_timeout(SHORT).unwrap().is_none());
    assert_eq!(survey.outstanding(), 1, "nothing more is wanted of the one that is not understood");
    eventually("it is told", || nonsense.is_cancelled());
    let request = good.recv_timeout(SOON).unwrap();
    let lengths = request.value().split(' ').map(|word| word.len() as u64).collect();
    request.reply(&lengths).unwrap();
    let answer = survey.next().unwrap().unwrap();
    assert_eq!((answer.value(), answer.server().pid()), (&vec![1, 2], Some(std::process::id())));
    let account = survey.account();
    assert_eq!(groups(&account), [1, 1, 0, 0, 0]);
    let failed = account.failed().next().unwrap();
    assert!(matches!(failed.error(), Some(CallError::Misunderstood(_))) && failed.results() == 0, "{failed}");
}

/// There everybody is the one that is connected.
pub(crate) fn at_addresses(world: &World) {
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    for address in ["shm:many", "unix:many", "tcp:127.0.0.1:0"] {
        let mut server = options.service(address).server().unwrap();
        let at = server.address().unwrap().to_string();
        let mut client = std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2 {
                    assert!(answer(received(&mut server)).is_none());
                }
            });
            let mut client = options.service(&at).client_timeout(SOON).unwrap();
            let mut survey = client.survey(b"count 3", SOON).unwrap();
            let heard: Vec<_> = survey.by_ref().map(|it| text(&it.unwrap())).collect();
            assert_eq!(heard, ["0", "1", "2"], "{address}");
            assert_eq!(groups(&survey.account()), [1, 0, 0, 0, 0]);
            let mut survey = client.survey(b"tag x", SOON).unwrap();
            let answer = survey.next().unwrap().unwrap();
            assert_eq!(answer.server().pid().is_none(), address.starts_with("tcp:"), "{}", answer.server());
            assert!(address.starts_with("tcp:") == answer.server().peer().network_address().is_some());
            drop(survey);
            client
        });
        let mut survey = client.survey(b"hold", SHORT).unwrap();
        drop(server);
        assert!(survey.next().is_none());
        let account = survey.account();
        assert_eq!(account.len(), 1);
        // Whether it was in time to say that it has not taken the request is up to the transport.
        assert!(account.answered().count() == 0 && account.late().count() == 0, "{account:?}");
        eventually("it is known to be gone", || client.servers() == 0);
        assert!(client.survey(b"", SOON).unwrap().is_over());
    }
}

/// A survey is waited for beside other things, and neither its client's other calls nor its silent servers keep anybody awake.
pub(crate) fn selected(world: &World) {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Ready {
        Survey,
        Event,
    }
    fn wait(selector: &mut Selector<Ready>, survey: &mut Survey<'_>, listener: &mut EventListener) -> Ready {
        selector.wait(&mut [(survey, Ready::Survey), (listener, Ready::Event)]).unwrap()
    }
    let node = world.node();
    let event: NodeEvent = node.event("other");
    let (mut listener, mut notifier) = (event.listener().unwrap(), event.notifier().unwrap());
    let mut servers = servers(world, 2);
    let mut client = world.node().service("many").wait(Wait::Sleep).client().unwrap();
    // An answer that nobody takes yet.
    let call = client.request(b"call").limit(SOON).start().unwrap();
    eventually("it is answered", || {
        servers.iter_mut().filter_map(|it| it.try_recv().ok()).for_each(|it| it.reply(b"answer").unwrap());
        client.any_ready(Duration::ZERO).unwrap().is_some()
    });
    let mut selector = Selector::new();
    let mut survey = client.survey(b"question", 2 * SHORT).unwrap();
    notifier.notify().unwrap();
    assert_eq!(wait(&mut selector, &mut survey, &mut listener), Ready::Event);
    assert_eq!(listener.take().unwrap(), 1);
    received(&mut servers[0]).reply(b"one").unwrap();
    assert_eq!(wait(&mut selector, &mut survey, &mut listener), Ready::Survey);
    assert_eq!(text(&survey.try_next().unwrap().unwrap()), "one");
    let busy = thread_time();
    let began = Instant::now();
    assert_eq!(wait(&mut selector, &mut survey, &mut listener), Ready::Survey, "its time is over");
    let (waited, busy) = (began.elapsed(), thread_time() - busy);
    assert!(waited < SHORT || busy < waited / 2, "busy for {busy:?} of {waited:?}");
    assert!(survey.try_next().unwrap().is_none() && survey.is_over());
    assert_eq!(groups(&survey.account()), [1, 0, 1, 0, 0]);
    assert_eq!(client.wait(call).unwrap(), b"answer");
}

pub(crate) fn in_tasks(world: &World) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut servers = servers(world, 3);
    let mut client = client(world).into_async();
    runtime.block_on(async {
        let mut survey = client.survey(b"question", 2 * SHORT).unwrap();
        let first = received(&mut servers[0]);
        let second = received(&mut servers[1]);
        let silent = received(&mut servers[2]);
        let answering = tokio::task::spawn_blocking(move || {
            first.reply(b"1").unwrap();
            let mut stream = second.stream();
            stream.send(b"2").unwrap();
            stream.send(b"3").unwrap();
            stream.end().unwrap();
        });
        let mut heard = Vec::new();
        // Futures that are dropped lose nothing.
        while heard.len() < 3 {
            if let Ok(answer) = tokio::time::timeout(Duration::from_micros(50), survey.next()).await {
                heard.push(text(&answer.unwrap().unwrap()));
            }
        }
        heard.sort();
        assert_eq!(heard, ["1", "2", "3"]);
        assert!(survey.next().await.unwrap().is_none());
        assert!(survey.survey().is_over() && silent.is_cancelled());
        assert_eq!(groups(&survey.account()), [2, 0, 1, 0, 0]);
        answering.await.unwrap();
        // The client goes on, and what is dropped is cancelled.
        let survey = client.survey(b"again", SOON).unwrap();
        let again = received(&mut servers[0]);
        drop(survey);
        eventually("it is cancelled", || again.is_cancelled());
        let error = client.call(b"alone", Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    });
}
