//! The id of a session: who knows it may read what the session is sent.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// 120 random bits, written as 20 letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId([u8; 15]);

impl SessionId {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Only its beginning: an id is a secret while its session lives.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string()[..6])
    }
}

impl FromStr for SessionId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(drop)?;
        bytes.try_into().map(Self).map_err(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        let id = SessionId::random();
        assert_eq!(id.to_string().len(), 20);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(SessionId::random(), id);
        assert_eq!("x".parse::<SessionId>(), Err(()));
        assert_eq!("/".repeat(20).parse::<SessionId>(), Err(()));
    }
}
