//! A server at an address that can take nobody else in: for want of descriptors, or because enough are there.

use std::net::TcpStream;
use std::time::Duration;

use wharf_message_passing::{Client, ConnectError, Options};
use wharf_sys::directory::Domain;

use crate::child::answer;
use crate::suite::say;
use crate::world::{SOON, World, eventually, few_descriptors};

/// Serves at a port in a process that may open few descriptors, and lets in as many as come.
pub(crate) fn serves_few() {
    let mut server = Options::new().service("tcp:127.0.0.1:0").most_clients(1000).server().unwrap();
    few_descriptors();
    say(server.address().unwrap());
    loop {
        // No client and no want of anything is a reason to end.
        let request = server.recv_timeout(SOON).unwrap();
        match &*request {
            b"refused" => {
                let (count, mut who) = server.refused();
                request.reply(format!("{count} {}", who.pop().unwrap_or_default()).as_bytes()).unwrap();
            }
            b"stop" => return request.reply(b"stopped").unwrap(),
            _ => drop(answer(request)),
        }
    }
}

fn refused(client: &mut Client) -> String {
    String::from_utf8(client.call(b"refused", SOON).unwrap()).unwrap()
}

/// Whoever is there is served while descriptors are missing, and others come in when there are some again.
pub(crate) fn descriptors_run_out(world: &World) {
    let mut serving = world.start("serves-few", &[]);
    let address = serving.line();
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let mut early = Options::new().service(&address).client_timeout(SOON).unwrap();
    assert_eq!(refused(&mut early), "0 ");
    let options = Options::new().handshake_timeout(Duration::from_secs(2));
    let mut links = Vec::new();
    let mut silent = Vec::new();
    eventually("it has no descriptors left", || {
        links.extend(options.clone().unsaid_purpose().connect(&address).ok());
        if links.len() > 40 {
            silent.push(TcpStream::connect(("127.0.0.1", port)).unwrap());
        }
        assert!(links.len() < 64);
        refused(&mut early).contains("accept at")
    });
    // Somebody waits at the door all the time, and costs it nothing.
    silent.push(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let before = serving.processor_time();
    std::thread::sleep(Duration::from_millis(500));
    let used = serving.processor_time() - before;
    assert!(used < Duration::from_millis(250), "{used:?} of half a second went into asking again");
    assert_eq!(early.call(b"echo on", SOON).unwrap(), b"on");
    drop((links, silent));
    let mut late = None;
    eventually("others come in again", || {
        late = Options::new().service(&address).client().ok();
        late.is_some()
    });
    assert_eq!(late.unwrap().call(b"echo late", SOON).unwrap(), b"late");
    assert_eq!(early.call(b"stop", SOON).unwrap(), b"stopped");
    serving.end();
}

/// More clients than a server lets in are refused with the reason, and come in when others have left.
pub(crate) fn no_more_than_agreed(world: &World) {
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    let mut server = options.service("unix:few").most_clients(2).server().unwrap();
    let client = || options.service("unix:few").client();
    std::thread::scope(|scope| {
        let coming = scope.spawn(|| (client().unwrap(), client().unwrap(), client().unwrap_err()));
        eventually("the third is refused", || server.clients() == 2 && coming.is_finished());
        let (one, _two, error) = coming.join().unwrap();
        assert!(error.to_string().contains("2 peers are linked"), "{error}");
        let (count, who) = server.refused();
        assert!((count, who.len()) == (1, 1) && who[0].contains("2 peers are linked"), "{who:?}");
        drop(one);
        eventually("it has left", || {
            let _ = server.try_recv();
            server.clients() == 1
        });
        let coming = scope.spawn(client);
        eventually("another comes", || server.clients() == 2);
        coming.join().unwrap().unwrap();
    });
    let full = ConnectError::TooMany { most: 2 };
    assert!(full.to_string().starts_with("2 peers"));
}
