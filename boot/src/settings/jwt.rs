//! The table about the users' tokens.

use std::path::PathBuf;

use serde::Deserialize;
use setting::{Fault, Secret};

/// `[jwt]`: whose tokens are accepted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtSettings {
    /// A secret shared with the back end that signs (HS256).
    pub hs256_secret: Secret,
    /// A file that holds such a secret; whitespace around it does not count.
    pub hs256_secret_file: PathBuf,
    /// A PEM file with a public key: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).
    pub public_key_file: PathBuf,
    /// A file with a JWK set of such public keys.
    pub jwks_file: PathBuf,
    /// What `iss` must be; empty: anything.
    pub issuer: String,
    /// What `aud` must hold; empty: anything.
    pub audience: String,
    /// How far the clocks of back end and cluster may differ, in milliseconds.
    pub leeway_ms: u32,
}

impl JwtSettings {
    /// The key that has a value out of its range, and what was expected.
    pub(super) fn check(&self) -> Result<(), Fault> {
        const LEEWAY_MOST_MS: u32 = 300_000;
        if self.leeway_ms > LEEWAY_MOST_MS {
            return Err(("leeway_ms", format!("expected 0 to {LEEWAY_MOST_MS}, got {}", self.leeway_ms)));
        }
        Ok(())
    }
}
