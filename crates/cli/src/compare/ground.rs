//! What both sides of a comparison share: the directory of names, and a word that keeps others off a port.

use std::fs::{self, File};
use std::io::Write;

use wharf::{Options, Transport};
use wharf_sys::directory::Domain;

use crate::compare::secret::Secret;
use crate::compare::trouble::Trouble;

/// The file in the private directory that holds the word.
const TOKEN: &str = "token";

/// Where the two sides meet, and what they show each other there.
#[derive(Clone)]
pub(crate) struct Ground {
    /// The directory of names.
    pub(crate) domain: Domain,
    token: Secret,
}

impl Ground {
    /// The near side's: with a new word, which it leaves in the directory.
    pub(crate) fn make(domain: Domain) -> Result<Ground, Trouble> {
        let token = Secret::new()?;
        File::create_new(domain.path().join(TOKEN)).and_then(|mut file| file.write_all(token.text().as_bytes()))?;
        Ok(Ground { domain, token })
    }

    /// The far side's: with what it finds there.
    pub(crate) fn find(domain: Domain) -> Result<Ground, Trouble> {
        let text = fs::read_to_string(domain.path().join(TOKEN))?;
        let token = Secret::of(text).ok_or_else(|| Trouble::wrong("the comparison's token is damaged"))?;
        Ok(Ground { domain, token })
    }

    /// How a link over a transport begins. Every user of the machine can reach a port of the loopback, but only who can
    /// read the private directory knows the word.
    pub(crate) fn options(&self, transport: Transport) -> Options {
        let options = Options::new().domain(self.domain.clone());
        if transport.crosses_machines() { options.token(self.token.text()) } else { options }
    }
}
