//! What both sides of a comparison share: the directory of names, and what keeps others off a port.

use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;

use wharf::{Options, Transport};
use wharf_sys::directory::Domain;

use crate::compare::secret::Secret;
use crate::compare::trouble::Trouble;
use crate::identity::{Fingerprint, Identity};

/// Whose the files in the private directory are: each listening process has its own word and certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The process that gives orders.
    Orders,
    /// The near side of the script, which is played once for each row.
    Script,
}

impl Owner {
    /// The files that hold the word and the fingerprint.
    fn files(self) -> [&'static str; 2] {
        match self {
            Owner::Orders => ["token", "fingerprint"],
            Owner::Script => ["script-token", "script-fingerprint"],
        }
    }
}

/// Where the two sides meet, and what they show each other there.
#[derive(Clone)]
pub(crate) struct Ground {
    /// The directory of names.
    pub(crate) domain: Domain,
    token: Secret,
    fingerprint: Fingerprint,
}

/// The same with what only the listening side has.
#[derive(Clone)]
pub(crate) struct NearGround {
    /// What both sides have.
    pub(crate) shared: Ground,
    identity: Arc<Identity>,
}

impl NearGround {
    /// With a new word and a new certificate. The word and the certificate's fingerprint are left in the directory; its
    /// key never leaves this process.
    pub(crate) fn make(domain: Domain, owner: Owner) -> Result<NearGround, Trouble> {
        let (token, identity) = (Secret::new()?, Identity::make().map_err(Trouble::wrong)?);
        let fingerprint = identity.fingerprint;
        let leave = |name: &str, text: &str| {
            File::create(domain.path().join(name)).and_then(|mut file| file.write_all(text.as_bytes()))
        };
        let [of_token, of_fingerprint] = owner.files();
        leave(of_token, token.text())?;
        leave(of_fingerprint, &fingerprint.to_string())?;
        Ok(NearGround { shared: Ground { domain, token, fingerprint }, identity: Arc::new(identity) })
    }

    /// How to listen over a transport.
    pub(crate) fn listening(&self, transport: Transport) -> Options {
        let options = self.shared.options(transport);
        if transport == Transport::Tls { options.tls(self.identity.tls()) } else { options }
    }
}

impl Ground {
    /// The far side's: with what it finds there.
    pub(crate) fn find(domain: Domain, owner: Owner) -> Result<Ground, Trouble> {
        let [of_token, of_fingerprint] = owner.files();
        let read = |name: &str| fs::read_to_string(domain.path().join(name));
        let token = Secret::of(read(of_token)?).ok_or_else(|| Trouble::wrong("the comparison's token is damaged"))?;
        let fingerprint = Fingerprint::read(&read(of_fingerprint)?).map_err(Trouble::wrong)?;
        Ok(Ground { domain, token, fingerprint })
    }

    /// How to connect over a transport.
    pub(crate) fn connecting(&self, transport: Transport) -> Options {
        let options = self.options(transport);
        if transport == Transport::Tls { options.tls(self.fingerprint.tls()) } else { options }
    }

    /// Every user of the machine can reach a port of the loopback, but only who can read the private directory knows
    /// the word.
    fn options(&self, transport: Transport) -> Options {
        let options = Options::new().domain(self.domain.clone());
        if transport.crosses_machines() { options.token(self.token.text()) } else { options }
    }
}
