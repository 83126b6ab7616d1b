//! A word that the connecting side must know: on loopback any user of the machine can connect.

use std::hint::black_box;

use crate::error::ConnectError;
use crate::handshake::MAX_PARAMS;

/// Checks that a token can be one.
pub(crate) fn check(token: &[u8]) -> Result<(), ConnectError> {
    if token.is_empty() || token.len() > MAX_PARAMS {
        return Err(ConnectError::Options(format!(
            "expected a token of 1 to {MAX_PARAMS} bytes, found one of {}: give both sides the same word",
            token.len()
        )));
    }
    Ok(())
}

/// See the top of the file.
pub(super) struct Token(Vec<u8>);

impl Token {
    pub(super) fn new(token: &[u8]) -> Self {
        Self(token.to_vec())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares with what the other side said, in a time that does not depend on how much of it is right.
    pub(super) fn expect(&self, said: &[u8]) -> Result<(), ConnectError> {
        if said.is_empty() {
            return Err(ConnectError::Token { found: "no token" });
        }
        let mut differences = self.0.len() ^ said.len();
        for at in 0..MAX_PARAMS {
            let (ours, theirs) = (self.0.get(at).copied().unwrap_or(0), said.get(at).copied().unwrap_or(0));
            // Hidden from the optimiser, which could otherwise stop at the first difference.
            differences = black_box(differences | usize::from(ours ^ theirs));
        }
        if differences == 0 { Ok(()) } else { Err(ConnectError::Token { found: "another token" }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token::new(b"secret");
        assert!(token.expect(b"secret").is_ok());
        for wrong in [&b""[..], b"secre", b"secret\0", b"secrets", b"Secret", b"secreT", b"\0", &[0; MAX_PARAMS]] {
            let refusal = token.expect(wrong).unwrap_err().to_string();
            assert!(!refusal.contains("secret"), "{refusal}");
        }
        assert!(check(b"").is_err() && check(&[1; MAX_PARAMS + 1]).is_err() && check(&[1; MAX_PARAMS]).is_ok());
    }
}
