//! Wharf's services as contenders: one client and one server, each message a call and its answer; alone, or beside other clients
//! that ask nothing.

use crate::contender::{Contender, End, Home, copy_out, failed, foreign, stamp_of};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use wharf::{Client, Node, NodeOptions, Request, Server, Wait};
use wharf_sys::directory::Domain;

/// What both sides call the service.
const NAME: &str = "bench/asked";

/// How long the two sides look for each other, and how long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A nap between two looks for the other side; nothing is timed meanwhile.
const NAP: Duration = Duration::from_millis(1);

/// A service by name between two processes. Its round trips are calls: what is sent alone is asked with the next receive.
pub struct Asked {
    name: &'static str,
    wait: Wait,
    idle: usize,
}

impl Asked {
    /// A service whose ends wait in the given way.
    pub fn new(name: &'static str, wait: Wait) -> Self {
        Asked { name, wait, idle: 0 }
    }

    /// The same, whose server has so many clients more. They live beside the one that asks, ask once, and then nothing.
    pub fn beside(mut self, idle: usize) -> Self {
        self.idle = idle;
        self
    }
}

fn node(at: &Path) -> io::Result<Node> {
    NodeOptions::new().domain(Domain::at(at).map_err(foreign)?).open().map_err(foreign)
}

/// One side.
pub struct AskedEnd {
    part: Part,
    idle: Vec<Client>,
    _node: Node,
}

/// What a side does.
#[allow(clippy::large_enum_variant, reason = "one per side, and reached without a pointer")]
enum Part {
    /// It measures; what it is to ask next, and the latest answer.
    Asks(Client, Vec<u8>, Vec<u8>),
    /// It answers; the requests that it has not answered.
    Answers(Server, Vec<Request>),
}

impl End for AskedEnd {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match &mut self.part {
            Part::Asks(_, next, _) => {
                next.clear();
                next.extend_from_slice(message);
                Ok(())
            }
            Part::Answers(_, open) => {
                let request = open.pop().ok_or_else(|| failed("nobody has asked"))?;
                request.reply(message).map_err(foreign)
            }
        }
    }

    #[inline(always)]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.part {
            Part::Asks(client, next, answer) => {
                client.call_into(next, PATIENCE, answer).map_err(foreign)?;
                copy_out(answer, into)
            }
            Part::Answers(server, open) => {
                let request = server.recv().map_err(foreign)?;
                let len = copy_out(&request, into)?;
                open.push(request);
                Ok(len)
            }
        }
    }

    #[inline(always)]
    fn ask(&mut self, message: &[u8], _into: &mut [u8]) -> io::Result<(usize, u64)> {
        let Part::Asks(client, _, answer) = &mut self.part else {
            return Err(failed("the side that answers does not ask"));
        };
        // The answer is in memory of its caller's, which looks at it there.
        client.call_into(message, PATIENCE, answer).map_err(foreign)?;
        Ok((answer.len(), stamp_of(answer)?))
    }

    #[inline(always)]
    fn send_back(&mut self, into: &mut [u8]) -> io::Result<(usize, u64)> {
        let Part::Answers(server, _) = &mut self.part else {
            return Err(failed("the side that asks does not send back"));
        };
        let request = server.recv().map_err(foreign)?;
        let len = copy_out(&request, into)?;
        request.reply(into.get(..len).unwrap_or_default()).map_err(foreign)?;
        Ok((len, stamp_of(into)?))
    }
}

impl Contender for Asked {
    type Door = Option<AskedEnd>;
    type End = AskedEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn listen(&self, at: &Path) -> io::Result<Self::Door> {
        let node = node(at)?;
        let client = node.service(NAME).wait(self.wait).client().map_err(foreign)?;
        let idle = (0..self.idle).map(|_| node.service(NAME).wait(Wait::Sleep).client());
        let idle = idle.collect::<Result<_, _>>().map_err(foreign)?;
        Ok(Some(AskedEnd { part: Part::Asks(client, Vec::new(), Vec::new()), idle, _node: node }))
    }

    fn accept(&self, door: &mut Self::Door) -> io::Result<Self::End> {
        let mut end = door.take().ok_or_else(|| failed("a service of two has room for one peer"))?;
        if let Part::Asks(client, ..) = &mut end.part {
            let start = Instant::now();
            // The clock ends the loop.
            while client.servers() == 0 {
                if start.elapsed() > PATIENCE {
                    return Err(failed(format!("no server has come within {PATIENCE:?}")));
                }
                std::thread::sleep(NAP);
            }
        }
        for client in &mut end.idle {
            client.call(b"once", PATIENCE).map_err(foreign)?;
        }
        Ok(end)
    }

    fn connect(&self, at: &Path) -> io::Result<Self::End> {
        let node = node(at)?;
        let mut server = node.service(NAME).wait(self.wait).server().map_err(foreign)?;
        for _ in 0..self.idle {
            server.recv_timeout(PATIENCE).map_err(foreign)?.reply(b"").map_err(foreign)?;
        }
        Ok(AskedEnd { part: Part::Answers(server, Vec::new()), idle: Vec::new(), _node: node })
    }
}
