//! What a meeting over a network takes: a token, leave to go beyond this machine, certificates, and whom to believe.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use clap::Args;
use wharf::{Address, Options, Tls, Transport};

use crate::compare::machine;
use crate::failure::{Failure, in_own_words};
use crate::identity::{Fingerprint, Identity};
use crate::shell::quoted;

/// Where a token may be given instead of in a file. Not on the command line, which every user of a machine can read.
const TOKEN_VARIABLE: &str = "WHARF_TOKEN";

/// The most bytes of a token.
const LONGEST_TOKEN: usize = 256;

/// More than any file of certificates, keys or words has; a device that never ends has more.
const LARGEST_FILE: u64 = 1 << 20;

/// What can be asked where the address has a host and a port.
#[derive(Args, Debug)]
#[command(next_help_heading = "Over a network")]
pub(crate) struct NetworkArguments {
    /// A file with the word that both sides of tcp:, tls: or ws: must know (or give it in WHARF_TOKEN). Without one, any user of
    /// this machine can connect. There is no option for the word itself: every user can read command lines.
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
    /// Let tcp: or ws: lead beyond this machine, where everybody on the way can read and change what it carries.
    #[arg(long)]
    insecure: bool,
    /// Over tls:, this side's certificate. A side that listens without one makes one for this run and says the other's --pin.
    #[arg(long, value_name = "PEM", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of that certificate.
    #[arg(long, value_name = "PEM", requires = "cert")]
    key: Option<PathBuf>,
    /// Over tls:, an authority whose word is taken: on servers when connecting, on clients when listening, who then all
    /// need a certificate (mutual TLS). Repeatable.
    #[arg(long, value_name = "PEM")]
    ca: Vec<PathBuf>,
    /// Over tls:, believe only the other side whose certificate, or public key, has this SHA-256. Repeatable.
    #[arg(long, value_name = "SHA256", value_parser = Fingerprint::read)]
    pin: Vec<Fingerprint>,
    /// Over ws:, admit web pages of this origin, as http://localhost:8000 (null: pages opened from a file); of others none
    /// come in. Repeatable.
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// The name that the server's certificate must be for, when it is not the address's host.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
}

impl NetworkArguments {
    /// Options for this address with what was asked, and the certificate that was made for this run, if one was.
    pub(crate) fn apply(
        &self,
        options: Options,
        address: &Address,
        listens: bool,
    ) -> Result<(Options, Option<Fingerprint>), Failure> {
        let transport = address.transport();
        self.check(transport, listens)?;
        let mut options = if self.insecure { options.insecure() } else { options };
        if transport.crosses_machines()
            && let Some(token) = self.token()?
        {
            options = options.token(token);
        }
        options = self.origin.iter().fold(options, |options, origin| options.allow_origin(origin));
        if transport != Transport::Tls {
            return Ok((options, None));
        }
        let (tls, made) = self.tls(listens)?;
        Ok((options.tls(tls), made))
    }

    /// Refuses all of it for a name, which leads nowhere beyond this machine.
    pub(crate) fn refuse_for_name(&self, name: &str) -> Result<(), Failure> {
        match self.given() {
            Some(option) => {
                Err(Failure::Usage(format!("{option} is for addresses of a network, and '{name}' is a name")))
            }
            None => Ok(()),
        }
    }

    /// Whether what leads beyond this machine without protection was asked for.
    pub(crate) fn insecure(&self) -> bool {
        self.insecure
    }

    /// The first option that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let options = [
            (self.token_file.is_some(), "--token-file"),
            (self.cert.is_some(), "--cert"),
            (!self.ca.is_empty(), "--ca"),
            (!self.pin.is_empty(), "--pin"),
            (self.server_name.is_some(), "--server-name"),
            (!self.origin.is_empty(), "--origin"),
            (self.insecure, "--insecure"),
        ];
        options.into_iter().find(|(given, _)| *given).map(|(_, option)| option)
    }

    /// What whoever connects to a listener at this address with these options types behind its address; `made` is the certificate that
    /// was made for this run, if one was.
    pub(crate) fn for_who_connects(&self, address: &Address, made: Option<Fingerprint>) -> Result<String, Failure> {
        let mut options = String::new();
        if let Some(pin) = made.map_or_else(|| self.own_pin(), |made| Ok(Some(made)))? {
            options.push_str(&format!(" --pin {pin}"));
        }
        if !self.ca.is_empty() {
            options.push_str(" --cert YOURS.pem --key YOURS.key");
        }
        if self.insecure {
            options.push_str(" --insecure");
        }
        if let Some(path) = &self.token_file {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            options.push_str(&format!(" --token-file {}", quoted(&path.display().to_string())));
        } else if address.transport().crosses_machines() && std::env::var_os(TOKEN_VARIABLE).is_some() {
            options.push_str(&format!("   (with this side's {TOKEN_VARIABLE})"));
        }
        Ok(options)
    }

    /// The fingerprint of the certificate that was given.
    fn own_pin(&self) -> Result<Option<Fingerprint>, Failure> {
        let Some(path) = &self.cert else { return Ok(None) };
        Ok(Fingerprint::of_pem(&read_pem("--cert", path)?))
    }

    /// Refuses what has no meaning here, rather than let anybody believe that it has one.
    fn check(&self, transport: Transport, listens: bool) -> Result<(), Failure> {
        let tls = transport == Transport::Tls;
        let misplaced = [
            (self.token_file.is_some(), "--token-file", transport.crosses_machines(), "tcp:, tls: and ws:"),
            (self.insecure, "--insecure", matches!(transport, Transport::Tcp | Transport::Ws), "tcp: and ws:"),
            (!self.origin.is_empty(), "--origin", transport == Transport::Ws, "ws:"),
            (self.cert.is_some(), "--cert", tls, "tls:"),
            (!self.ca.is_empty(), "--ca", tls, "tls:"),
            (!self.pin.is_empty(), "--pin", tls, "tls:"),
            (self.server_name.is_some(), "--server-name", tls, "tls:"),
        ];
        if let Some((_, option, _, whose)) = misplaced.into_iter().find(|(given, _, fits, _)| *given && !fits) {
            return Err(Failure::Usage(format!("{option} is for {whose} addresses, and this one is {transport}:")));
        }
        if !listens && !self.origin.is_empty() {
            return Err(Failure::Usage("--origin is for the side that listens, and this one connects".to_owned()));
        }
        if listens && self.server_name.is_some() {
            return Err(Failure::Usage("--server-name is for the side that connects, and this one listens".to_owned()));
        }
        if tls && !listens && self.ca.is_empty() && self.pin.is_empty() {
            return Err(Failure::Usage(
                "nobody is believed over tls: yet: name an authority with --ca PEM, or the server's certificate with \
                 --pin SHA256"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn token(&self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(path) = &self.token_file else {
            let token = std::env::var_os(TOKEN_VARIABLE).map(OsStringExt::into_vec);
            token.as_deref().map_or(Ok(()), |token| check_token(token, TOKEN_VARIABLE))?;
            return Ok(token);
        };
        let mut token = read("--token-file", path)?;
        // Editors end a file with a line end that is nobody's token.
        if token.last() == Some(&b'\n') {
            token.pop();
        }
        if token.last() == Some(&b'\r') {
            token.pop();
        }
        check_token(&token, &format!("--token-file: '{}'", path.display()))?;
        Ok(Some(token))
    }

    fn tls(&self, listens: bool) -> Result<(Tls, Option<Fingerprint>), Failure> {
        let (mut tls, mut made) = (Tls::new(), None);
        match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => {
                tls = tls.identity(read_pem("--cert", certificate)?, read_pem("--key", key)?);
                tls = checked(tls, &format!("--cert '{}' and --key '{}'", certificate.display(), key.display()))?;
            }
            _ if listens => {
                let identity = Identity::make().map_err(Failure::Failed)?;
                made = Some(identity.fingerprint);
                tls = identity.tls();
            }
            _ => {}
        }
        for path in &self.ca {
            let authority = read_pem("--ca", path)?;
            checked(Tls::new().roots(authority.as_str()), &format!("--ca: '{}'", path.display()))?;
            tls = if listens { tls.client_roots(authority) } else { tls.roots(authority) };
        }
        tls = self.pin.iter().fold(tls, |tls, pin| tls.pin(pin.bytes()));
        if let Some(name) = &self.server_name {
            tls = tls.server_name(name);
        }
        Ok((tls, made))
    }
}

/// The address at which others reach whoever listens there: one that listens everywhere is reached at none of that name, and this
/// machine's own name stands for it.
pub(crate) fn reachable(at: &Address) -> String {
    match at.transport().crosses_machines() {
        true => format!("{}:{}", at.transport(), reachable_at(at.name())),
        false => at.to_string(),
    }
}

/// The same of a host and a port, and whatever is behind them.
pub(crate) fn reachable_at(place: &str) -> String {
    match ["0.0.0.0:", "[::]:"].iter().find_map(|host| place.strip_prefix(host)) {
        Some(port) => format!("{}:{port}", machine::host().unwrap_or_else(|| "HOST".into())),
        None => place.to_owned(),
    }
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let outcome = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes));
    match outcome {
        Err(error) => Err(Failure::Usage(format!(
            "{option}: cannot read '{}': {error}; name a file that is there and that this user may read",
            path.display()
        ))),
        Ok(_) if bytes.len() as u64 > LARGEST_FILE => Err(Failure::Usage(format!(
            "{option}: '{}' has more than {LARGEST_FILE} bytes, expected far fewer: name another file",
            path.display()
        ))),
        Ok(_) => Ok(bytes),
    }
}

/// Checks that this can be a token; `place` is where it was.
fn check_token(token: &[u8], place: &str) -> Result<(), Failure> {
    let found = match token.len() {
        1..=LONGEST_TOKEN => return Ok(()),
        0 => "is empty".to_owned(),
        len => format!("has {len} bytes"),
    };
    Err(Failure::Usage(format!(
        "{place} {found}: expected a word of 1 to {LONGEST_TOKEN} bytes, the same on both sides; 'head -c 24 /dev/urandom | base64' makes \
         one"
    )))
}

/// What the library has no fault to find with; otherwise that is told of the files in which it was `given`.
fn checked(tls: Tls, given: &str) -> Result<Tls, Failure> {
    match tls.check() {
        Ok(()) => Ok(tls),
        Err(why) => Err(Failure::Usage(format!("{given}: {}", in_own_words(&why.to_string())))),
    }
}

/// Text in which there is anything that looks like PEM; whether it is the right thing is told by whoever uses it.
fn read_pem(option: &str, path: &Path) -> Result<String, Failure> {
    let text = String::from_utf8(read(option, path)?).ok().filter(|text| text.contains("-----BEGIN "));
    text.ok_or_else(|| {
        let path = path.display();
        Failure::Usage(format!(
            "{option}: '{path}' is no PEM text: expected a line that starts with -----BEGIN; give a file in PEM (of DER, 'openssl x509 \
             -inform der' makes it)"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_listens_everywhere_is_reached_by_name() {
        let at = |text: &str| reachable(&Address::parse(text).expect("an address"));
        assert_eq!(at("tcp:127.0.0.1:7000"), "tcp:127.0.0.1:7000");
        assert_eq!(at("unix:/tmp/0.0.0.0:1"), "unix:/tmp/0.0.0.0:1");
        let host = machine::host().expect("a name");
        assert_eq!(at("tls:0.0.0.0:7000"), format!("tls:{host}:7000"));
        assert_eq!(at("tls:[::]:7000"), format!("tls:{host}:7000"));
        assert_eq!(at("ws:0.0.0.0:7000/chat"), format!("ws:{host}:7000/chat"));
        // So is the page of a chat.
        assert_eq!(reachable_at("0.0.0.0:8080"), format!("{host}:8080"));
        assert_eq!(reachable_at("127.0.0.1:8080"), "127.0.0.1:8080");
    }
}
