//! Whether a token is good, and what it says.

use boot::{JwtSettings, Problem, SigningKey};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde::Deserialize;
use wire::{Code, Device, User};

use crate::key_files::{self, TokenKey, TokenKeyError};

/// A user's name that stands for the cluster itself; no token may carry it.
const RESERVED: &str = "system";

/// The longest validity that is believed, in milliseconds: a century. An `exp` in milliseconds is far beyond.
const VALIDITY_MAX_MS: i64 = 100 * 366 * 24 * 3600 * 1000;

/// The most scopes that a token may carry: they travel in each ticket.
const SCOPES_MAX: usize = 16;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whom it speaks for.
    pub user: User,
    /// The only device that it is good for, where it names one.
    pub device: Option<Device>,
    /// What it allows beside the usual, at most 16 words.
    pub scope: Vec<String>,
    /// When it expires, milliseconds since the Unix epoch.
    pub expires_at: i64,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is none of ours, or does not say what it must.
    #[error("the token is not valid: {0}")]
    Invalid(String),
    /// Its `exp` has passed, and the leeway with it.
    #[error("the token has expired: get a new one from the back end that signs them")]
    Expired,
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let code = match error {
            TokenError::Invalid(_) => Code::TokenInvalid,
            TokenError::Expired => Code::TokenExpired,
        };
        Self::new(code, error.to_string())
    }
}

/// Checks tokens against the keys of the settings.
pub struct TokenChecker {
    keys: Vec<(TokenKey, Validation)>,
    leeway_ms: i64,
}

/// A name that the cluster keeps for itself.
pub fn is_reserved(user: &User) -> bool {
    user.as_str() == RESERVED
}

#[derive(Deserialize)]
struct Claims {
    sub: User,
    /// Seconds since the Unix epoch; a fraction is allowed.
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    device: Option<Device>,
    #[serde(default)]
    scope: Vec<String>,
}

impl TokenChecker {
    /// A checker with the keys of the settings and, in the embedded cluster, the one that signs `/dev/token`.
    ///
    /// # Errors
    /// A key that cannot be used, or none at all.
    pub fn new(settings: &JwtSettings, dev: Option<&SigningKey>) -> Result<Self, TokenKeyError> {
        let mut keys = key_files::load(settings)?;
        keys.extend(dev.map(|key| TokenKey {
            kid: Some(key.kid.to_string()),
            algorithm: Algorithm::HS256,
            key: DecodingKey::from_secret(key.bytes()),
        }));
        if keys.is_empty() {
            return Err(TokenKeyError::None);
        }
        let with_validation = |key: TokenKey| {
            let validation = validation(settings, key.algorithm);
            (key, validation)
        };
        let keys = keys.into_iter().map(with_validation).collect();
        Ok(Self { keys, leeway_ms: settings.leeway_ms.into() })
    }

    /// Who the token speaks for.
    ///
    /// # Errors
    /// [`TokenError`]; its text never holds any of the token.
    pub fn check(&self, token: &str, now_ms: i64) -> Result<Token, TokenError> {
        let claims = self.claims(token)?;
        let expires_at = to_ms(claims.exp);
        if now_ms >= expires_at.saturating_add(self.leeway_ms) {
            return Err(TokenError::Expired);
        }
        let refuse = |reason: &str| Err(TokenError::Invalid(reason.to_owned()));
        if expires_at.saturating_sub(now_ms) > VALIDITY_MAX_MS {
            return refuse("its exp is more than a century away: exp counts seconds");
        }
        if claims.nbf.is_some_and(|not_before| to_ms(not_before) > now_ms.saturating_add(self.leeway_ms)) {
            return refuse("its nbf has not come yet");
        }
        if is_reserved(&claims.sub) {
            return refuse("its sub is a name that the cluster keeps for itself");
        }
        if claims.scope.len() > SCOPES_MAX || claims.scope.iter().any(|scope| scope.len() > 64) {
            return refuse("its scope has more than 16 entries, or one of more than 64 bytes");
        }
        Ok(Token { user: claims.sub, device: claims.device, scope: claims.scope, expires_at })
    }

    /// Its claims, if one of our keys has signed them.
    fn claims(&self, token: &str) -> Result<Claims, TokenError> {
        let unreadable = |_| TokenError::Invalid("it is no JWT, or its alg is not known".to_owned());
        let header = jsonwebtoken::decode_header(token).map_err(unreadable)?;
        let may_have_signed = |key: &TokenKey| {
            key.algorithm == header.alg
                && header.kid.as_ref().is_none_or(|kid| key.kid.as_ref().is_none_or(|own| own == kid))
        };
        let mut refused = TokenError::Invalid("no key is set that could have signed it".to_owned());
        for (key, validation) in self.keys.iter().filter(|(key, _)| may_have_signed(key)) {
            match jsonwebtoken::decode::<Claims>(token, &key.key, validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(error) => refused = TokenError::Invalid(reason(error.kind())),
            }
        }
        Err(refused)
    }
}

fn validation(settings: &JwtSettings, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    // Times are checked here, in milliseconds and against the caller's clock; `Claims` demands `exp` and `sub`.
    validation.validate_exp = false;
    let mut required = Vec::new();
    if !settings.issuer.is_empty() {
        validation.set_issuer(&[&settings.issuer]);
        required.push("iss");
    }
    validation.validate_aud = !settings.audience.is_empty();
    if validation.validate_aud {
        validation.set_audience(&[&settings.audience]);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    validation
}

fn reason(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::InvalidSignature => "its signature does not fit".to_owned(),
        ErrorKind::InvalidIssuer => "its iss is not the expected one".to_owned(),
        ErrorKind::InvalidAudience => "its aud is not the expected one".to_owned(),
        ErrorKind::MissingRequiredClaim(claim) => format!("it has no {claim}"),
        // Raised only after the signature was found good: what serde says names claims, of a known back end.
        ErrorKind::Json(error) => format!("its claims are not as expected: {error}"),
        _ => "it cannot be read".to_owned(),
    }
}

fn to_ms(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}
