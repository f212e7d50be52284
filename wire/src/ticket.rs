//! The ticket that lets one connection onto one spear.

use std::{fmt, sync::Arc};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::{Device, Incarnation, User};

/// The `typ` of a ticket's header: a user's token, even one signed by mistake with the same secret, is no ticket.
const TYPE: &str = "phalanx-ticket";

/// What a ticket says: who may connect, from which device, to which start of which spear, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketClaims {
    /// Unique for each ticket; the spear remembers it until `expires_at`, so that it serves once.
    pub jti: String,
    /// The spear's id.
    pub spear: Arc<str>,
    /// Which start of that spear.
    #[serde(rename = "inc")]
    pub incarnation: Incarnation,
    /// Who connects.
    #[serde(rename = "sub")]
    pub user: User,
    /// From which device.
    #[serde(rename = "dev")]
    pub device: Device,
    /// When it was made, milliseconds since the Unix epoch.
    #[serde(rename = "iat_ms")]
    pub issued_at: i64,
    /// From when on it is refused, milliseconds since the Unix epoch.
    #[serde(rename = "exp_ms")]
    pub expires_at: i64,
    /// When the user's token ends, and with it the connection, milliseconds since the Unix epoch.
    #[serde(rename = "tok_ms")]
    pub token_expires_at: i64,
    /// The token's scopes: `monitor`, `simulate`. Unknown ones are kept and mean nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<String>,
}

/// Why a ticket is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not one of ours, or changed, or signed with a key that is no longer accepted.
    #[error("the ticket is not valid: ask for a new one")]
    Invalid,
    /// Its time has passed.
    #[error("the ticket has expired: ask for a new one")]
    Expired,
}

/// A secret that signs tickets, with the id that tickets carry in their header to say so.
#[derive(Clone)]
pub struct TicketKey {
    kid: Arc<str>,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl TicketKey {
    /// A key of this id. At least 32 random bytes are expected as the `secret`; fewer are weak, not refused here.
    pub fn new(kid: impl Into<Arc<str>>, secret: &[u8]) -> Self {
        Self {
            kid: kid.into(),
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        }
    }

    /// The id that its tickets name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// A ticket: a compact JWT, HS256.
    pub fn sign(&self, claims: &TicketClaims) -> String {
        let header = Header {
            typ: Some(TYPE.to_owned()),
            kid: Some(self.kid.as_ref().to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        // Encoding fails where claims cannot be JSON or the key is of another family: neither can be the case here.
        jsonwebtoken::encode(&header, claims, &self.encoding)
            .expect("plain claims are signed with an HMAC key")
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("kid", &self.kid).field("secret", &"***").finish()
    }
}

/// The keys whose tickets are accepted: the one in use and, while keys are rotated, others beside it.
#[derive(Debug, Clone)]
pub struct TicketKeys {
    keys: Arc<[TicketKey]>,
    validation: Arc<Validation>,
}

impl TicketKeys {
    /// These keys. Of two with the same `kid` the first counts.
    pub fn new(keys: impl IntoIterator<Item = TicketKey>) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are checked in `verify`, in milliseconds and against the caller's clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self { keys: keys.into_iter().collect(), validation: Arc::new(validation) }
    }

    /// Checks signature and age, with the key that the ticket names. Whether the ticket is for this spear and still
    /// unused is the caller's to see.
    ///
    /// # Errors
    /// [`TicketError::Expired`] from `expires_at` on, without leeway; [`TicketError::Invalid`] for everything else.
    pub fn verify(&self, ticket: &str, now_ms: i64) -> Result<TicketClaims, TicketError> {
        let header = jsonwebtoken::decode_header(ticket).map_err(|_| TicketError::Invalid)?;
        if header.typ.as_deref() != Some(TYPE) {
            return Err(TicketError::Invalid);
        }
        let kid = header.kid.ok_or(TicketError::Invalid)?;
        let key = self.keys.iter().find(|key| *key.kid == *kid).ok_or(TicketError::Invalid)?;
        let claims = jsonwebtoken::decode::<TicketClaims>(ticket, &key.decoding, &self.validation)
            .map_err(|_| TicketError::Invalid)?
            .claims;
        if now_ms >= claims.expires_at {
            return Err(TicketError::Expired);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims() -> TicketClaims {
        TicketClaims {
            jti: "j-1".to_owned(),
            spear: "spear-1".into(),
            incarnation: Incarnation(1 << 50),
            user: User::new("alice").expect("a name"),
            device: Device::default(),
            issued_at: 1_000,
            expires_at: 31_000,
            token_expires_at: 100_000,
            scope: vec!["monitor".to_owned()],
        }
    }

    #[test]
    fn a_ticket_says_what_was_signed() {
        let key = TicketKey::new("k1", b"a secret");
        let ticket = key.sign(&claims());
        assert_eq!(TicketKeys::new([key]).verify(&ticket, 30_999), Ok(claims()));
    }

    #[test]
    fn it_expires_to_the_millisecond() {
        let key = TicketKey::new("k1", b"a secret");
        let ticket = key.sign(&claims());
        assert_eq!(TicketKeys::new([key]).verify(&ticket, 31_000), Err(TicketError::Expired));
    }

    #[test]
    fn keys_rotate_by_kid() {
        let (old, new) = (TicketKey::new("k1", b"old"), TicketKey::new("k2", b"new"));
        let (first, second) = (old.sign(&claims()), new.sign(&claims()));
        let both = TicketKeys::new([new.clone(), old]);
        assert!(both.verify(&first, 0).is_ok() && both.verify(&second, 0).is_ok());
        let after = TicketKeys::new([new]);
        assert_eq!(after.verify(&first, 0), Err(TicketError::Invalid));
        assert!(after.verify(&second, 0).is_ok());
    }

    #[test]
    fn another_secret_under_the_same_kid_is_refused() {
        let ticket = TicketKey::new("k1", b"theirs").sign(&claims());
        let ours = TicketKeys::new([TicketKey::new("k1", b"ours")]);
        assert_eq!(ours.verify(&ticket, 0), Err(TicketError::Invalid));
    }

    #[test]
    fn a_plain_token_of_the_same_secret_is_no_ticket() {
        let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(b"s")).expect("signs");
        assert_eq!(
            TicketKeys::new([TicketKey::new("k1", b"s")]).verify(&token, 0),
            Err(TicketError::Invalid)
        );
    }

    #[test]
    fn an_unsigned_ticket_is_refused() {
        let ours = TicketKeys::new([TicketKey::new("k1", b"s")]);
        // {"alg":"none","typ":"phalanx-ticket","kid":"k1"} . {} . no signature
        let none = "eyJhbGciOiJub25lIiwidHlwIjoicGhhbGFueC10aWNrZXQiLCJraWQiOiJrMSJ9.e30.";
        assert_eq!(ours.verify(none, 0), Err(TicketError::Invalid));
    }

    #[test]
    fn a_secret_does_not_show() {
        assert!(!format!("{:?}", TicketKey::new("k1", b"hush")).contains("hush"));
    }

    proptest! {
        #[test]
        fn a_changed_ticket_is_refused(at in 0_usize..400, with in "[A-Za-z0-9_.-]") {
            let key = TicketKey::new("k1", b"a secret");
            let ticket = key.sign(&claims());
            // The last character of base64 may carry bits that do not count: leave it alone.
            let at = at % (ticket.len() - 1);
            let mut changed = ticket.clone();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != ticket);
            prop_assert_eq!(TicketKeys::new([key]).verify(&changed, 0), Err(TicketError::Invalid));
        }

        #[test]
        fn nothing_that_arrives_makes_it_panic(text in ".{0,200}") {
            let keys = TicketKeys::new([TicketKey::new("k1", b"a secret")]);
            prop_assert_eq!(keys.verify(&text, 0), Err(TicketError::Invalid));
        }
    }
}
