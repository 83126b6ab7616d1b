//! How a link is made: sizes, waiting, policy and trust, as one value that both verbs take.

use std::fmt;
use std::ops::Deref;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::directory::Domain;

use crate::address::Address;
use crate::error::ConnectError;
use crate::handshake::{Payload, Purpose};
use crate::link::Link;
use crate::listener::Listener;
use crate::meet;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// How an end waits for the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// Look again for a moment, as long as that has been worth it lately, then sleep.
    #[default]
    Adaptive,
    /// Never sleep: the lowest latency, at the price of a whole core. Where both sides are confined to one and
    /// the same processor, spinning would only keep the peer from running, and this sleeps like [`Wait::Sleep`].
    Spin,
    /// Sleep at once: no core is kept busy.
    Sleep,
}

/// What `send` does when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Wait until the receiver has made room.
    #[default]
    Block,
    /// Hand the message back at once with [`SendError::Full`](crate::SendError::Full).
    Reject,
}

/// How far the peer is trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// A peer of the same user cooperates; any other is hostile.
    #[default]
    Auto,
    /// The peer may crash at any instruction, but it does not lie: messages are seen in place.
    Cooperating,
    /// The peer may write any byte that it can reach: messages are copied before they are seen.
    Hostile,
}

/// Bytes that wait in one direction of a link unless [`Options::capacity`] says otherwise; over `tcp:`, `tls:` and `ws:` four times
/// as many.
pub const DEFAULT_CAPACITY_BYTES: usize = 1 << 20;

/// The largest message of a link unless [`Options::max_message`] says otherwise.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 256 << 20;

/// How long the other machine may be silent unless [`Options::keep_alive`] says otherwise.
pub const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How a link is made.
///
/// ```
/// use std::time::Duration;
/// use wharf_message_passing::{Options, Wait};
///
/// let options = Options::new().capacity(64 << 10).wait(Wait::Sleep).handshake_timeout(Duration::from_secs(1));
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// What was asked for; see [`capacity_bytes`](Self::capacity_bytes).
    pub(crate) capacity: Option<usize>,
    pub(crate) max_message: usize,
    pub(crate) wait: Wait,
    pub(crate) policy: Policy,
    pub(crate) trust: Trust,
    pub(crate) align: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) domain: Option<Domain>,
    pub(crate) admitted: Vec<u32>,
    pub(crate) keep_alive: Duration,
    pub(crate) token: Option<Secret>,
    pub(crate) insecure: bool,
    pub(crate) unsaid_purpose: bool,
    #[cfg(feature = "ws")]
    pub(crate) origins: Vec<String>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<Tls>>,
}

/// Bytes that are not shown when options are printed.
#[derive(Clone)]
pub(crate) struct Secret(Vec<u8>);

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            capacity: None,
            max_message: DEFAULT_MAX_MESSAGE_BYTES,
            wait: Wait::default(),
            policy: Policy::default(),
            trust: Trust::default(),
            align: 8,
            handshake_timeout: Duration::from_secs(2),
            domain: None,
            admitted: Vec::new(),
            keep_alive: DEFAULT_KEEP_ALIVE,
            token: None,
            insecure: false,
            unsaid_purpose: false,
            #[cfg(feature = "ws")]
            origins: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that may wait in each direction (1 MiB unless said otherwise; each side decides for what it sends).
    /// `unix:` takes it as an upper wish: the kernel's limit is usually about 208 KiB. For `tcp:`, `tls:` and `ws:` it is what
    /// waits on the sending side and is not on its way yet (4 MiB unless said otherwise), at least 4 KiB and at most half of
    /// the system's buffer; what is on its way, or in the receiving system's queue, comes on top, as much as the system's limits
    /// let.
    /// `pipe:` takes at most 64 KiB. `mq:` makes as many slots of the largest message as fit, at least one and at most
    /// `fs.mqueue.msg_max`; all of them count at once against what the queues of this user may take (`RLIMIT_MSGQUEUE`,
    /// usually 800 KiB), so links that need less should ask for less, here or with
    /// [`max_message`](Self::max_message).
    #[must_use]
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// The capacity of a link.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.capacity.unwrap_or(DEFAULT_CAPACITY_BYTES)
    }

    /// The largest message (256 MiB unless said otherwise). The link takes the smaller of what both sides say.
    /// `mq:` carries at most what fits a slot of the system's queues: `fs.mqueue.msgsize_max` - 8 bytes.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// How this side waits.
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// What `send` does when the queue is full.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How far the peer is trusted. `pipe:` is for peers that cooperate and refuses [`Trust::Hostile`].
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Where payloads that this side sends start: a multiple of 8 (the default) or of 64 bytes.
    #[must_use]
    pub fn align(mut self, bytes: usize) -> Self {
        self.align = bytes;
        self
    }

    /// How long a peer may take to introduce itself (2 s unless said otherwise).
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// The directory in which the name lives, instead of the user's own.
    #[must_use]
    pub fn domain(mut self, domain: Domain) -> Self {
        self.domain = Some(domain);
        self
    }

    /// Admits peers of another user. They are treated as hostile unless [`Options::trust`] says otherwise.
    /// May be called several times.
    #[must_use]
    pub fn allow_uid(mut self, uid: u32) -> Self {
        self.admitted.push(uid);
        self
    }

    /// How long the other machine may be silent before a connection of `tcp:`, `tls:` or `ws:` counts as broken (30 s unless
    /// said otherwise; whole seconds, at least 5). After half of it without a sign its system is asked, four times in the
    /// other half; a process that is merely slow or stopped is answered for by its system. While data is on its way
    /// unacknowledged, the kernel's own limit for retransmissions holds instead, usually about 15 minutes.
    #[must_use]
    pub fn keep_alive(mut self, limit: Duration) -> Self {
        self.keep_alive = limit;
        self
    }

    /// A word that both sides of `tcp:`, `tls:` and `ws:` must know, of 1 to 256 bytes: a listening side with a token admits
    /// only who says the same, a connecting side says it. On loopback every user of the machine can connect, and this
    /// keeps the others out. Over `tcp:` and `ws:` it travels as it is, to whoever listens at the port. A web page may say it
    /// in the path that it asks for, too (`?token=…`).
    #[must_use]
    pub fn token(mut self, token: impl AsRef<[u8]>) -> Self {
        self.token = Some(Secret(token.as_ref().to_vec()));
        self
    }

    /// Who this side of `tls:` is, and whom it believes.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(Arc::new(tls));
        self
    }

    /// Lets `tcp:` and `ws:` lead beyond this machine, where everybody on the way can read and change what it carries. Without
    /// it, only loopback addresses can be listened at and connected to; `tls:` needs no leave.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// Does not say what the link is for, so that it fits a server of a service or an end of a queue, too: for programs that speak
    /// what these speak (docs/wire.md) themselves, message by message. Without it they refuse a link, and it refuses them
    /// ([`ConnectError::OtherPurpose`]). The ends of services and queues say what they are with these options, too.
    #[must_use]
    pub fn unsaid_purpose(mut self) -> Self {
        self.unsaid_purpose = true;
        self
    }

    /// Admits web pages of this origin (`https://example.com`, `http://localhost:8000`, or `null` for pages that are
    /// opened from a file) to a listener of `ws:`. May be called several times. Browsers say with every WebSocket which
    /// origin its page has, and any page that its user visits can open one to this machine; so pages of no other origin
    /// come in. Programs say none, and need no leave.
    #[cfg(feature = "ws")]
    #[must_use]
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Listens at an address.
    ///
    /// # Errors
    /// [`ConnectError::NameTaken`] when another process listens there; otherwise what the system or the directory
    /// of names refuses.
    pub fn listen(&self, address: impl AsRef<str>) -> Result<Listener, ConnectError> {
        Listener::open(Address::parse(address.as_ref())?, self.clone(), Purpose::Messages, Payload::Bytes)
    }

    /// Connects to an address at which somebody listens.
    ///
    /// # Errors
    /// [`ConnectError::NobodyListening`] when nobody does, [`ConnectError::Timeout`] when the listener does not
    /// answer within the [handshake time](Self::handshake_timeout), [`ConnectError::PeerGone`] when it dies before it does, and what
    /// either side refuses.
    pub fn connect(&self, address: impl AsRef<str>) -> Result<Link, ConnectError> {
        let address = Address::parse(address.as_ref())?;
        meet::connect(&address, self, Purpose::Messages, Payload::Bytes, self.handshake_timeout, false)
    }

    /// Connects to an address; waits for a listener and for its answer, at most `limit`. One that dies or closes before it has
    /// answered is none: another is waited for.
    ///
    /// The name of a host is looked up once, at the beginning. The limit does not end that: it takes as long as the
    /// system's resolver likes, usually some seconds at most, and what it took is missing afterwards. An address in figures
    /// needs none.
    ///
    /// # Errors
    /// [`ConnectError::Timeout`] when there was none in time, and what either side refuses.
    pub fn connect_timeout(&self, address: impl AsRef<str>, limit: Duration) -> Result<Link, ConnectError> {
        let address = Address::parse(address.as_ref())?;
        meet::connect(&address, self, Purpose::Messages, Payload::Bytes, limit, true)
    }
}
