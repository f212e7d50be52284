//! Tokens of back ends that sign with a private key. The keys in `tests/keys` are for these tests only.

use std::path::PathBuf;

use boot::JwtSettings;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, JwkSet},
};
use serde_json::json;

use crate::TokenChecker;

const NOW_MS: i64 = 1_800_000_000_000;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)
}

/// The three kinds of keys: name, algorithm, private key.
fn kinds() -> [(&'static str, Algorithm, EncodingKey); 3] {
    let read = |name: &str| std::fs::read(path(&format!("{name}.private.pem"))).expect("the key is there");
    [
        ("rsa", Algorithm::RS256, EncodingKey::from_rsa_pem(&read("rsa")).expect("RSA")),
        ("p256", Algorithm::ES256, EncodingKey::from_ec_pem(&read("p256")).expect("P-256")),
        ("ed25519", Algorithm::EdDSA, EncodingKey::from_ed_pem(&read("ed25519")).expect("Ed25519")),
    ]
}

fn signed(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    let claims = json!({"sub": "alice", "exp": NOW_MS / 1000 + 60});
    jsonwebtoken::encode(&header, &claims, key).expect("it signs")
}

fn accepts(checker: &TokenChecker, token: &str) -> bool {
    checker.check(token, NOW_MS).is_ok()
}

#[test]
fn each_kind_of_public_key_accepts_its_own_tokens_only() {
    for (name, algorithm, _) in kinds() {
        let settings =
            JwtSettings { public_key_file: path(&format!("{name}.public.pem")), ..JwtSettings::default() };
        let checker = TokenChecker::new(&settings, None).expect("a usable key");
        for (signer, by, key) in kinds() {
            assert_eq!(
                accepts(&checker, &signed(by, None, &key)),
                by == algorithm,
                "{signer} against {name}"
            );
        }
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    // The classic confusion: the attacker knows the public key and signs HS256 with its text.
    let settings = JwtSettings { public_key_file: path("rsa.public.pem"), ..JwtSettings::default() };
    let checker = TokenChecker::new(&settings, None).expect("a usable key");
    let public = std::fs::read(path("rsa.public.pem")).expect("the key is there");
    assert!(!accepts(&checker, &signed(Algorithm::HS256, None, &EncodingKey::from_secret(&public))));
}

#[test]
fn a_key_set_chooses_by_kid() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = kinds().map(|(name, algorithm, key)| {
        let mut jwk = Jwk::from_encoding_key(&key, algorithm).expect("a public part");
        jwk.common.key_id = Some(name.to_owned());
        jwk
    });
    let file = directory.path().join("jwks.json");
    std::fs::write(&file, serde_json::to_vec(&JwkSet { keys: keys.into() }).expect("JSON")).expect("written");
    let settings = JwtSettings { jwks_file: file, ..JwtSettings::default() };
    let checker = TokenChecker::new(&settings, None).expect("usable keys");
    for (name, algorithm, key) in kinds() {
        assert!(accepts(&checker, &signed(algorithm, Some(name), &key)), "{name}");
        assert!(accepts(&checker, &signed(algorithm, None, &key)), "{name} without a kid");
        assert!(!accepts(&checker, &signed(algorithm, Some("another"), &key)), "{name} under another kid");
    }
}

#[test]
fn files_that_hold_no_key_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("key");
    let refused =
        |settings: JwtSettings| TokenChecker::new(&settings, None).err().expect("refused").to_string();
    let missing = refused(JwtSettings { jwks_file: file.clone(), ..JwtSettings::default() });
    assert!(missing.starts_with("jwt.jwks_file: cannot read"), "{missing}");
    std::fs::write(&file, "{}").expect("written");
    let text = refused(JwtSettings { public_key_file: file.clone(), ..JwtSettings::default() });
    assert_eq!(text, "jwt.public_key_file: expected PEM with one RSA, P-256 or Ed25519 public key");
    std::fs::write(&file, r#"{"keys": []}"#).expect("written");
    let none = refused(JwtSettings { jwks_file: file, ..JwtSettings::default() });
    assert!(none.contains("at least one"), "{none}");
    let private = refused(JwtSettings { public_key_file: path("rsa.private.pem"), ..JwtSettings::default() });
    assert!(private.contains("keep the private key where tokens are signed"), "{private}");
}
