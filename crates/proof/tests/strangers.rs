//! Two hundred strangers at the port of a listener, each with its own way of wasting its time: every one of them is shown
//! out in time and remembered with a reason, they cost little memory, and a good peer hardly notices.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wharf_message_passing::{Link, Options};
use wharf_proof::certificates;
use wharf_proof::footprint::resident_kib;
use wharf_proof::place;
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::scene::Scene;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

const STRANGERS: usize = 200;

/// How long the listener lets a stranger take: longer than a measurement lasts.
const HANDSHAKE: Duration = Duration::from_millis(2500);

/// How often a stranger that drips sends a byte.
const DRIP: Duration = Duration::from_secs(1);

/// What each may cost while it is there.
const MOST_KIB: u64 = 64;

/// Messages whose round trips make a figure.
const TRIPS: usize = 1000;

/// A quiet time and a siege, in turns. One figure of each says little: where the scheduler puts the two sides, and who else runs, makes
/// the slowest of a hundred trips 12 µs or 50, and of a few meetings 1.5 ms or 6, in either state and for seconds on end. So the
/// figures of all rounds are judged together: never one good round among bad ones. Where they are good after the first rounds, those are
/// enough; where not, more rounds tell a machine that was disturbed from a peer that is held up.
const ROUNDS: std::ops::RangeInclusive<usize> = 5..=9;

/// The least share of the processors with which a round is undisturbed.
const ENOUGH: f64 = 0.85;

/// How often strangers are weighed before it is said that there never were enough of them at once.
const WEIGHINGS: usize = 8;

/// The most that a good peer's slowest of a hundred may grow.
const MOST_TIMES: f64 = 2.0;

/// One test at a time: they measure, and would measure each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn at_tcp_they_hold_nobody_up() {
    besiege("tcp");
}

#[test]
fn at_tls_they_hold_nobody_up() {
    besiege("tls");
}

#[test]
fn at_ws_they_hold_nobody_up() {
    besiege("ws");
}

#[test]
fn at_tcp_those_who_stay_cost_little_memory() {
    ways("tcp").into_iter().filter(|way| way.stays).for_each(|way| weigh("tcp", &way));
}

#[test]
fn at_tls_those_who_stay_cost_little_memory() {
    ways("tls").into_iter().filter(|way| way.stays).for_each(|way| weigh("tls", &way));
}

#[test]
fn at_ws_those_who_stay_cost_little_memory() {
    ways("ws").into_iter().filter(|way| way.stays).for_each(|way| weigh("ws", &way));
}

/// What a stranger does.
#[derive(Clone)]
struct Way {
    name: &'static str,
    /// What it sends at once, and then byte by byte.
    at_once: Vec<u8>,
    later: Vec<u8>,
    /// Nothing in it is wrong, so only its time shows it out.
    stays: bool,
}

fn ways(scheme: &str) -> Vec<Way> {
    let mut hello = b"WHARFLNK".to_vec();
    hello.extend([
        1,
        0,
        1,
        match scheme {
            "tls" => 7,
            "ws" => 8,
            _ => 6,
        },
    ]);
    let mut client_hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    client_hello.extend([7; 32]);
    let drip = vec![0; 64];
    let http = b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".to_vec();
    let way = |name, at_once: &[u8], later: &[u8], stays| Way {
        name,
        at_once: at_once.to_vec(),
        later: later.to_vec(),
        stays,
    };
    let mut ways = vec![
        way("says nothing", &[], &[], true),
        way("speaks HTTP", &http, &[], false),
        way("begins with four GiB", &[0xff; 8], &drip, false),
    ];
    if scheme == "tls" {
        ways.push(way("stays in its handshake", &client_hello, &drip, true));
        ways.push(way("drips its handshake", &[], &client_hello, true));
        ways.push(way("speaks plainly", &hello, &[], false));
    } else if scheme == "ws" {
        let opening = b"GET / HTTP/1.1\r\nHost: example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        // A frame that is masked with nothing.
        let begun = [&opening[..], &[0x82, 0x80 | 56, 0, 0, 0, 0], &hello].concat();
        let page = [&opening[..opening.len() - 2], b"Origin: http://example\r\n\r\n"].concat();
        ways.push(way("stays in its request", &opening[..60], &[], true));
        ways.push(way("drips its request", &[], opening, true));
        ways.push(way("opens and says nothing", opening, &[], true));
        ways.push(way("stays in its hello", &begun, &[], true));
        ways.push(way("pings", &[opening, &[0x89, 0x81, 0, 0, 0, 0, 7].repeat(100)[..]].concat(), &[], true));
        ways.push(way(
            "announces 4 GiB",
            &[opening, &[0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..]].concat(),
            &[],
            false,
        ));
        ways.push(way("is a page", &page, &[], false));
        ways.push(way("speaks tcp:", &hello, &[], false));
        ways.push(way("speaks TLS", &client_hello, &[], false));
    } else {
        ways.push(way("stays in its hello", &hello, &[], true));
        ways.push(way("drips its hello", &[], &hello, true));
        ways.push(way("speaks TLS", &client_hello, &[], false));
    }
    ways
}

/// Strangers that have come and that drip, in a thread of their own, until this is dropped.
struct Crowd {
    came: Instant,
    names: Vec<(&'static str, SocketAddr)>,
    /// Bytes that were sent one by one and that a listener still took.
    dripped: Arc<AtomicUsize>,
    over: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// So many strangers, who do this in turns.
    fn gather(place: SocketAddr, ways: &[Way], count: usize) -> Crowd {
        let came = Instant::now();
        let mut names = Vec::new();
        let mut strangers = Vec::new();
        for way in ways.iter().cycle().take(count) {
            let mut stranger = TcpStream::connect(place).expect("the guard listens");
            // It may have been shown out already.
            let _ = stranger.write_all(&way.at_once);
            names.push((way.name, stranger.local_addr().expect("it is connected")));
            strangers.push((stranger, way.later.clone().into_iter()));
        }
        let dripped = Arc::new(AtomicUsize::new(0));
        let (over, wait) = mpsc::channel::<()>();
        let counter = dripped.clone();
        let pause = DRIP / u32::try_from(count).expect("they are few");
        let thread = thread::spawn(move || {
            // One after the other, so that somebody always drips; ends with the crowd.
            for turn in (0..count).cycle() {
                if wait.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                let (stranger, later) = &mut strangers[turn];
                if later.next().is_some_and(|byte| stranger.write_all(&[byte]).is_ok()) {
                    // Relaxed: a count that orders nothing else.
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Crowd { came, names, dripped, over: Some(over), thread: Some(thread) }
    }

    fn dripped(&self) -> usize {
        // Relaxed: as where it is counted.
        self.dripped.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.over = None;
        if let Some(thread) = self.thread.take() {
            // It panics on nothing that a peer can do.
            let _ = thread.join();
        }
    }
}

/// A guard at a place of its own, and how to get there.
struct Gate {
    _scene: Scene,
    place: SocketAddr,
    address: String,
    options: Options,
    guard: Process,
}

impl Gate {
    fn open(scheme: &str) -> Gate {
        let scene = Scene::new();
        let place = place::free();
        let address = format!("{scheme}:{place}");
        let folder = scene.file("certificates");
        std::fs::create_dir(&folder).expect("a folder can be made");
        certificates::make(&folder).expect("certificates can be made");
        let certificates = format!("certificates={}", folder.display());
        let handshake = format!("handshake={}", HANDSHAKE.as_millis());
        let mut words = vec!["guard", &address, &handshake];
        let mut options = Options::new();
        if scheme == "tls" {
            words.push(&certificates);
            options = options.tls(certificates::read(&folder).expect("they were just made"));
        }
        let mut guard = Process::start(Path::new(VICTIM), &scene, &words);
        guard.expect("listening");
        Gate { _scene: scene, place, address, options, guard }
    }

    fn link(&self) -> Link {
        self.options.connect_timeout(&self.address, PATIENCE).expect("the guard listens")
    }
}

fn besiege(scheme: &str) {
    let _alone = alone();
    let mut gate = Gate::open(scheme);
    let mut link = gate.link();
    // Whatever is done once is done now.
    siege(scheme, &mut gate, &mut link);

    // All rounds, and those in which the processors were there for this test.
    let (mut all, mut undisturbed) = (Rounds::default(), Rounds::default());
    let mut share = share_of_processors();
    for round in 1..=*ROUNDS.end() {
        let quiet = [trips(&mut link), meetings(&gate)];
        let besieged = siege(scheme, &mut gate, &mut link);
        let share_before = std::mem::replace(&mut share, share_of_processors());
        let Some(besieged) = besieged else {
            println!("{scheme}, round {round}: the strangers did not drip all the while");
            continue;
        };
        println!(
            "{scheme}, round {round}: slowest trips and meetings besieged {besieged:.6?} s, quiet {quiet:.6?} s; shares of the processors \
             {share_before:.2} and {share:.2}"
        );
        all.add(quiet, besieged);
        if share.min(share_before) >= ENOUGH {
            undisturbed.add(quiet, besieged);
        }
        if all.count() >= *ROUNDS.start() && !all.held_up() {
            return;
        }
    }
    // Where others have the processors, a crowd that wants some, too, takes them from its neighbours, and nobody else is to blame.
    if undisturbed.count() < *ROUNDS.start() {
        let why = "others had the processors, and a good peer that is held up looks the same";
        // Past the capture of the output: `./test` counts these lines. A closed standard error hears nothing.
        let _unheard = writeln!(std::io::stderr(), "skipped: strangers at {scheme}: {why}: {all:.6?}");
        return;
    }
    assert!(!undisturbed.held_up(), "{scheme}: a good peer is held up: {undisturbed:?}");
}

/// What part of the time that it wants a process gets which wants every processor: 1 where nobody else wants any.
fn share_of_processors() -> f64 {
    const WANTED: Duration = Duration::from_millis(30);
    let spin = || {
        let began = Instant::now();
        while began.elapsed() < WANTED {
            std::hint::spin_loop();
        }
        // Nanoseconds on a processor, and waiting for one. Where the kernel does not count them nobody can tell.
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let mut counts = told.split_whitespace().map_while(|count| count.parse::<f64>().ok());
        [counts.next().unwrap_or(1.0), counts.next().unwrap_or(0.0)]
    };
    let count = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        let spinning: Vec<_> = (0..count).map(|_| scope.spawn(spin)).collect();
        let counts = spinning.into_iter().map(|it| it.join().expect("it only spins"));
        let [on, waiting] = counts.fold([0.0, 0.0], |[on, waiting], [a, b]| [on + a, waiting + b]);
        on / (on + waiting)
    })
}

/// The figures of some rounds.
#[derive(Debug, Default)]
struct Rounds {
    quiet: Figures,
    besieged: Figures,
}

impl Rounds {
    fn add(&mut self, quiet: [f64; 2], besieged: [f64; 2]) {
        self.quiet.add(quiet);
        self.besieged.add(besieged);
    }

    fn count(&self) -> usize {
        self.quiet.0[0].len()
    }

    /// Whether the medians and the upper quartiles say so, of trips or of meetings. Of two states of the machine that are about as
    /// frequent the medians may be one of the one and one of the other; a peer that is held up is so in both.
    fn held_up(&self) -> bool {
        (0..2).any(|what| {
            [2, 3].iter().all(|quarter| {
                let [besieged, quiet] = [&self.besieged, &self.quiet].map(|it| it.quartile(*quarter)[what]);
                besieged > MOST_TIMES * quiet
            })
        })
    }
}

/// The slowest trips and meetings of one state, in seconds.
#[derive(Debug, Default)]
struct Figures([Vec<f64>; 2]);

impl Figures {
    fn add(&mut self, figures: [f64; 2]) {
        self.0.iter_mut().zip(figures).for_each(|(kept, figure)| kept.push(figure));
    }

    /// So many quarters of the figures are no larger, of trips and of meetings; for ever, where there are none.
    fn quartile(&self, quarter: usize) -> [f64; 2] {
        self.0.each_ref().map(|figures| {
            let mut sorted = figures.clone();
            sorted.sort_by(f64::total_cmp);
            sorted.get(sorted.len() * quarter / 4).copied().unwrap_or(f64::INFINITY)
        })
    }
}

/// The strangers come, and stay as long as they may. The slowest trips and meetings meanwhile, in seconds; `None` when not
/// all of that happened while they were there and dripped.
fn siege(scheme: &str, gate: &mut Gate, link: &mut Link) -> Option<[f64; 2]> {
    let crowd = Crowd::gather(gate.place, &ways(scheme), STRANGERS);
    let before = crowd.dripped();
    let figures = [trips(link), meetings(gate)];
    let measured = crowd.dripped() > before && crowd.came.elapsed() < HANDSHAKE;

    let mut missing: Vec<String> = crowd.names.iter().map(|it| it.1.to_string()).collect();
    while !missing.is_empty() {
        let told = gate.guard.hear(Duration::from_millis(100));
        if let Some(said) = told.filter(|said| said.word == "refused") {
            let (who, why) = said.text.split_once(": ").expect("who and why");
            let place = missing.iter().position(|it| it == who).unwrap_or_else(|| panic!("{who} is no stranger"));
            missing.swap_remove(place);
            assert!(why.len() > 10, "{said:?}");
        }
        let late: Vec<&str> =
            crowd.names.iter().filter(|it| missing.contains(&it.1.to_string())).map(|it| it.0).collect();
        assert!(crowd.came.elapsed() < HANDSHAKE + PATIENCE, "still there: {late:?}; {}", gate.guard.report());
    }
    assert!(gate.guard.runs(), "{}", gate.guard.report());
    measured.then_some(figures)
}

/// What strangers of one kind cost while all of them are there, at a guard that has not had so many before: memory that
/// earlier ones left would hide what these take.
fn weigh(scheme: &str, way: &Way) {
    let _alone = alone();
    for round in 0..WEIGHINGS {
        let mut gate = Gate::open(scheme);
        // Whatever is allocated once is allocated now.
        let first = Crowd::gather(gate.place, std::slice::from_ref(way), 1);
        meetings(&gate);
        drop(first);
        gate.guard.expect("refused");
        let before = resident_kib(gate.guard.id()).expect("the guard lives");
        let crowd = Crowd::gather(gate.place, std::slice::from_ref(way), STRANGERS);
        // Connections are taken in the order in which they come, so after a meeting all of them have been.
        meetings(&gate);
        let mut most = resident_kib(gate.guard.id()).expect("the guard lives");
        let told = gate.guard.hear(DRIP / 4);
        most = most.max(resident_kib(gate.guard.id()).expect("the guard lives"));
        // Once one has been shown out, not all were weighed.
        if told.is_some() {
            assert!(
                crowd.came.elapsed() >= HANDSHAKE,
                "{scheme}: one that {} was shown out at once: {told:?}",
                way.name
            );
            continue;
        }
        let grown = most.saturating_sub(before);
        println!("{scheme}, round {round}: {STRANGERS} of which each {}: {grown} KiB", way.name);
        assert!(
            grown < MOST_KIB * STRANGERS as u64,
            "{scheme}: {grown} KiB for {STRANGERS} of which each {}",
            way.name
        );
        return;
    }
    panic!("{scheme}: in {WEIGHINGS} rounds there never were {STRANGERS} at once of which each {}", way.name);
}

/// The slowest round trip of a hundred, in seconds, on a link that is there already.
fn trips(link: &mut Link) -> f64 {
    let mut times: Vec<f64> = (0..TRIPS)
        .map(|_| {
            let began = Instant::now();
            link.send(&[7; 64]).expect("the guard answers");
            link.recv_timeout(PATIENCE).expect("the guard answers");
            began.elapsed().as_secs_f64()
        })
        .collect();
    slowest_of_a_hundred(&mut times)
}

/// The slowest of a few meetings, in seconds, first message included.
fn meetings(gate: &Gate) -> f64 {
    let mut times: Vec<f64> = (0..40)
        .map(|_| {
            let began = Instant::now();
            let mut link = gate.link();
            link.send(b"hi").expect("the guard answers");
            link.recv_timeout(PATIENCE).expect("the guard answers");
            thread::sleep(Duration::from_millis(1));
            began.elapsed().as_secs_f64()
        })
        .collect();
    slowest_of_a_hundred(&mut times)
}

fn slowest_of_a_hundred(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() * 99 / 100]
}
