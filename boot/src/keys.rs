//! Keys that the embedded cluster makes for itself at its first start.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{Secret, durable_file};

/// 256 bits: as strong as the HMAC-SHA256 that they are used with.
const KEY_BYTES: usize = 32;

/// An HMAC-SHA256 key (HS256) and the name it goes by in the `kid` of what it signed. Cheap to clone.
#[derive(Clone)]
pub struct SigningKey {
    /// The name of the key. No secret.
    pub kid: Arc<str>,
    bytes: Arc<[u8]>,
}

/// Why a key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not what was written there.
    #[error("{path} holds no key: restore it; or remove it, and all that was signed with it becomes invalid")]
    Unreadable {
        /// Which file.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kid: String,
    alg: String,
    secret: String,
}

impl SigningKey {
    /// A new random key.
    pub fn random() -> Self {
        let name: [u8; 4] = rand::random();
        let bytes: [u8; KEY_BYTES] = rand::random();
        Self { kid: hex(&name).into(), bytes: bytes.into() }
    }

    /// A key whose text is set by the operator. Its name is the caller's business.
    pub fn from_text(kid: &str, text: &Secret) -> Self {
        Self { kid: kid.into(), bytes: text.expose().as_bytes().into() }
    }

    /// The key itself: for signing and checking, never for showing.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the key at `path`, or makes it there, readable by the owner only.
    pub(crate) fn at(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        match fs::read(path) {
            Ok(content) => parse(&content).ok_or_else(|| KeyError::Unreadable { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::random();
                let file = File { kid: key.kid.to_string(), alg: "HS256".into(), secret: hex(&key.bytes) };
                let content = serde_json::to_vec_pretty(&file).map_err(|error| failed(error.into()))?;
                durable_file::replace(path, &content).map_err(failed)?;
                Ok(key)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, ***)", self.kid)
    }
}

/// Reads the secret at `path`, or makes a random one there, readable by the owner only.
pub(crate) fn secret_at(path: &Path) -> Result<Secret, KeyError> {
    SigningKey::at(path).map(|key| Secret::from(hex(&key.bytes)))
}

fn parse(content: &[u8]) -> Option<SigningKey> {
    let file: File = serde_json::from_slice(content).ok()?;
    let bytes = unhex(&file.secret)?;
    let whole = file.alg == "HS256" && bytes.len() == KEY_BYTES;
    whole.then(|| SigningKey { kid: file.kid.into(), bytes: bytes.into() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ticket.key");
        let made = SigningKey::at(&path).expect("made");
        let found = SigningKey::at(&path).expect("found");
        assert_eq!(made.bytes(), found.bytes());
        assert_eq!(made.kid, found.kid);
        assert_eq!(made.bytes().len(), KEY_BYTES);
        assert!(!format!("{made:?}").contains(&hex(&made.bytes)), "a key is never shown");
    }

    #[test]
    fn a_damaged_key_is_refused_not_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ticket.key");
        fs::write(&path, "{}").expect("written");
        assert!(matches!(SigningKey::at(&path), Err(KeyError::Unreadable { .. })));
        assert_eq!(fs::read(&path).expect("still there"), b"{}");
    }
}
