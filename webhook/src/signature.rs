//! How a request is signed: Standard Webhooks, version 1, with a shared key.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// How long the key may be, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The key that both sides have.
pub struct Key(Hmac<Sha256>);

impl Key {
    /// Reads `whsec_` and 24 to 64 bytes in base64. `None`: it is something else.
    pub fn parse(secret: &str) -> Option<Self> {
        let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
        if !KEY_BYTES.contains(&key.len()) {
            return None;
        }
        Hmac::new_from_slice(&key).ok().map(Self)
    }

    /// The header `webhook-signature`. `timestamp` is in seconds since the Unix epoch.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut signature = self.0.clone();
        for part in [id, ".", &timestamp.to_string(), ".", body] {
            signature.update(part.as_bytes());
        }
        format!("v1,{}", STANDARD.encode(signature.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own libraries.
    #[test]
    fn a_request_is_signed_as_the_standard_has_it() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for secret in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_%%%"] {
            assert!(Key::parse(secret).is_none(), "{secret}");
        }
    }
}
