//! Wharf's links as contenders: copied in and out, and loaned.

use crate::certificates;
use crate::contender::{Contender, End, Home, copy_out, failed, foreign, see_copied, send_back_copied, stamp_of};
use std::io;
use std::path::Path;
use wharf::{Link, Listener, Options, Receiver, Sender, Tls, Wait};
use wharf_sys::directory::Domain;

/// What they listen on, each in its own private directory.
const NAME: &str = "bench";

/// A link whose messages are copied in by `send` and copied out of the view: both ends then have them in memory of their
/// own, whatever the link is made of.
pub type Copied = Linked<false>;

/// A link over a transport whose messages the kernel copies: its views are in memory of the receiver's process alone, and
/// are looked at there, as a program by hand looks at its own buffer.
pub type Seen = Linked<true>;

/// See [`Copied`] and [`Seen`].
pub struct Linked<const SEEN: bool> {
    name: &'static str,
    scheme: &'static str,
    home: Home,
    wait: Wait,
    capacity: Option<usize>,
}

impl<const SEEN: bool> Linked<SEEN> {
    /// A link between two processes by `scheme` ("shm", "unix", "tcp", "tls") that waits in the given way.
    pub fn new(name: &'static str, scheme: &'static str, wait: Wait) -> Self {
        Linked { name, scheme, home: Home::Processes, wait, capacity: None }
    }

    /// The same between two threads of one process.
    pub fn between_threads(mut self) -> Self {
        self.home = Home::Threads;
        self
    }

    /// The same with room for so many bytes in each direction.
    pub fn with_capacity(mut self, bytes: usize) -> Self {
        self.capacity = Some(bytes);
        self
    }

    fn options(&self, at: &Path) -> io::Result<Options> {
        let options = options(at, self.wait, self.capacity)?;
        if self.scheme != "tls" {
            return Ok(options);
        }
        let (certificate, key) = certificates::read(at)?;
        Ok(options.tls(Tls::new().roots(&certificate).server_name(certificates::NAME).identity(certificate, key)))
    }

    /// Where its two sides meet: at a name, or at a port whose number lies in the directory.
    fn address(&self, at: &Path) -> io::Result<String> {
        match self.has_port() {
            true => std::fs::read_to_string(at.join("address")),
            false => Ok(format!("{}:{NAME}", self.scheme)),
        }
    }

    fn has_port(&self) -> bool {
        matches!(self.scheme, "tcp" | "tls")
    }
}

fn options(at: &Path, wait: Wait, capacity: Option<usize>) -> io::Result<Options> {
    let domain = Domain::at(at).map_err(foreign)?;
    let options = Options::new().domain(domain).wait(wait);
    Ok(match capacity {
        Some(bytes) => options.capacity(bytes),
        None => options,
    })
}

/// One side of such a link.
pub struct LinkedEnd<const SEEN: bool> {
    to: Sender,
    from: Receiver,
}

impl<const SEEN: bool> LinkedEnd<SEEN> {
    fn over(link: Link) -> Self {
        let (to, from) = link.split();
        LinkedEnd { to, from }
    }
}

impl<const SEEN: bool> End for LinkedEnd<SEEN> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.to.send(message).map_err(foreign)
    }

    #[inline(always)]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let message = self.from.recv().map_err(foreign)?;
        copy_out(&message, into)
    }

    #[inline(always)]
    fn see(&mut self, into: &mut [u8]) -> io::Result<(usize, u64)> {
        if !SEEN {
            return see_copied(self, into);
        }
        let message = self.from.recv().map_err(foreign)?;
        Ok((message.len(), stamp_of(&message)?))
    }

    #[inline(always)]
    fn send_back(&mut self, into: &mut [u8]) -> io::Result<(usize, u64)> {
        if !SEEN {
            return send_back_copied(self, into);
        }
        let message = self.from.recv().map_err(foreign)?;
        self.to.send(&message).map_err(foreign)?;
        Ok((message.len(), stamp_of(&message)?))
    }
}

impl<const SEEN: bool> Contender for Linked<SEEN> {
    type Door = Listener;
    type End = LinkedEnd<SEEN>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        self.home
    }

    fn listen(&self, at: &Path) -> io::Result<Listener> {
        if !self.has_port() {
            return self.options(at)?.listen(self.address(at)?).map_err(foreign);
        }
        certificates::make(at)?;
        let listener = self.options(at)?.listen(format!("{}:127.0.0.1:0", self.scheme)).map_err(foreign)?;
        std::fs::write(at.join("address"), listener.address().as_str())?;
        Ok(listener)
    }

    fn accept(&self, door: &mut Listener) -> io::Result<LinkedEnd<SEEN>> {
        door.accept().map(LinkedEnd::over).map_err(foreign)
    }

    fn connect(&self, at: &Path) -> io::Result<LinkedEnd<SEEN>> {
        let link = self.options(at)?.connect(self.address(at)?);
        link.map(LinkedEnd::over).map_err(foreign)
    }
}

/// An `shm:` link whose messages of a fixed, large size are loaned, touched in their first eight bytes
/// only, and seen in place.
pub struct Loaned {
    name: &'static str,
    len: usize,
}

impl Loaned {
    /// A link for loans of `len` bytes.
    pub fn new(name: &'static str, len: usize) -> Loaned {
        Loaned { name, len }
    }

    fn options(&self, at: &Path) -> io::Result<Options> {
        // Room for two: one being read, one being filled.
        options(at, Wait::Spin, Some(2 * self.len + (1 << 20)))
    }

    fn end(&self, link: Link) -> LoanedEnd {
        let (to, from) = link.split();
        LoanedEnd { to, from, len: self.len }
    }
}

/// One side of a loaned link.
pub struct LoanedEnd {
    to: Sender,
    from: Receiver,
    len: usize,
}

impl End for LoanedEnd {
    #[inline]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let mut loan = self.to.loan(self.len).map_err(foreign)?;
        match loan.get_mut(..message.len()) {
            Some(head) => head.copy_from_slice(message),
            None => return Err(failed("the message is larger than the loan")),
        }
        loan.send().map_err(foreign)
    }

    #[inline]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let message = self.from.recv().map_err(foreign)?;
        if message.len() != self.len || !message.in_place() {
            return Err(failed(format!(
                "expected {} bytes in place, found {} (in place: {})",
                self.len,
                message.len(),
                message.in_place()
            )));
        }
        let len = into.len().min(8);
        match (into.get_mut(..len), message.get(..len)) {
            (Some(into), Some(head)) => into.copy_from_slice(head),
            _ => return Err(failed("a loan is shorter than the message in it")),
        }
        Ok(len)
    }
}

impl Contender for Loaned {
    type Door = Listener;
    type End = LoanedEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn only_len(&self) -> Option<usize> {
        Some(8)
    }

    fn listen(&self, at: &Path) -> io::Result<Listener> {
        self.options(at)?.listen(format!("shm:{NAME}")).map_err(foreign)
    }

    fn accept(&self, door: &mut Listener) -> io::Result<LoanedEnd> {
        door.accept().map(|link| self.end(link)).map_err(foreign)
    }

    fn connect(&self, at: &Path) -> io::Result<LoanedEnd> {
        let link = self.options(at)?.connect(format!("shm:{NAME}")).map_err(foreign)?;
        Ok(self.end(link))
    }
}
