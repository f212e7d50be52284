//! The keys of the back ends that sign tokens: from the settings, PEM files and JWK sets.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use boot::{JwtSettings, Secret};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};

/// The shortest shared secret that is taken, in bytes: as RFC 7518 asks for HS256.
const SECRET_MIN_BYTES: usize = 32;

/// The most keys of a JWK set: each token without a `kid` may be tried against all of them.
const JWKS_MAX: usize = 32;

/// One key and what it may have signed.
pub(crate) struct TokenKey {
    pub(crate) kid: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

/// Why no key could be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// The file could not be read.
    #[error("jwt.{setting}: cannot read {path}: {source}")]
    File {
        /// Which setting names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What was found cannot be used.
    #[error("jwt.{setting}: {problem}")]
    Unusable {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// There is no key at all.
    #[error(
        "no key to check tokens with: set jwt.hs256_secret, hs256_secret_file, public_key_file or jwks_file"
    )]
    None,
}

/// All keys that the settings name.
pub(crate) fn load(settings: &JwtSettings) -> Result<Vec<TokenKey>, TokenKeyError> {
    let mut keys = Vec::new();
    if !settings.hs256_secret.is_empty() {
        keys.push(shared("hs256_secret", &settings.hs256_secret)?);
    }
    if is_set(&settings.hs256_secret_file) {
        let text = read("hs256_secret_file", &settings.hs256_secret_file)?;
        keys.push(shared("hs256_secret_file", &Secret::from(text.trim()))?);
    }
    if is_set(&settings.public_key_file) {
        keys.push(public("public_key_file", &read("public_key_file", &settings.public_key_file)?)?);
    }
    if is_set(&settings.jwks_file) {
        keys.extend(jwks("jwks_file", &read("jwks_file", &settings.jwks_file)?)?);
    }
    Ok(keys)
}

fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

fn read(setting: &'static str, path: &Path) -> Result<String, TokenKeyError> {
    fs::read_to_string(path).map_err(|source| TokenKeyError::File { setting, path: path.to_owned(), source })
}

fn unusable(setting: &'static str, problem: impl Into<String>) -> TokenKeyError {
    TokenKeyError::Unusable { setting, problem: problem.into() }
}

fn shared(setting: &'static str, secret: &Secret) -> Result<TokenKey, TokenKeyError> {
    let bytes = secret.expose().as_bytes();
    if bytes.len() < SECRET_MIN_BYTES {
        return Err(unusable(setting, format!("expected {SECRET_MIN_BYTES} random bytes or more")));
    }
    Ok(TokenKey { kid: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(bytes) })
}

fn public(setting: &'static str, pem: &str) -> Result<TokenKey, TokenKeyError> {
    if pem.contains("PRIVATE KEY") {
        return Err(unusable(setting, "expected a public key: keep the private key where tokens are signed"));
    }
    let bytes = pem.as_bytes();
    let known = DecodingKey::from_rsa_pem(bytes)
        .map(|key| (Algorithm::RS256, key))
        .or_else(|_| DecodingKey::from_ec_pem(bytes).map(|key| (Algorithm::ES256, key)))
        .or_else(|_| DecodingKey::from_ed_pem(bytes).map(|key| (Algorithm::EdDSA, key)));
    let (algorithm, key) =
        known.map_err(|_| unusable(setting, "expected PEM with one RSA, P-256 or Ed25519 public key"))?;
    Ok(TokenKey { kid: None, algorithm, key })
}

fn jwks(setting: &'static str, text: &str) -> Result<Vec<TokenKey>, TokenKeyError> {
    let set: JwkSet = serde_json::from_str(text)
        .map_err(|error| unusable(setting, format!("expected a JWK set: {error}")))?;
    let keys: Vec<TokenKey> = set.keys.iter().filter_map(of_jwk).collect();
    match keys.len() {
        0 => Err(unusable(setting, "expected at least one RSA, P-256 or Ed25519 key for signatures")),
        1..=JWKS_MAX => Ok(keys),
        more => Err(unusable(setting, format!("expected at most {JWKS_MAX} keys, found {more}"))),
    }
}

/// `None` for a key of another kind: a set may serve others too.
fn of_jwk(jwk: &Jwk) -> Option<TokenKey> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let common = &jwk.common;
    let for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    let for_this = common.key_algorithm.is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
    let key = DecodingKey::from_jwk(jwk).ok()?;
    (for_signatures && for_this).then(|| TokenKey { kid: common.key_id.clone(), algorithm, key })
}
