//! Which tokens are taken.

use boot::{JwtSettings, SigningKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::{Token, TokenChecker, TokenError};

const NOW_S: i64 = 1_800_000_000;
const NOW_MS: i64 = NOW_S * 1000;

/// As `/dev/token` signs.
fn signed(key: &SigningKey, claims: &Value) -> String {
    let header = Header { kid: Some(key.kid.to_string()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(key.bytes())).expect("it signs")
}

fn check_with(settings: JwtSettings, claims: Value) -> Result<Token, TokenError> {
    let key = SigningKey::random();
    let checker = TokenChecker::new(&settings, Some(&key)).expect("a key is there");
    checker.check(&signed(&key, &claims), NOW_MS)
}

fn check(claims: Value) -> Result<Token, TokenError> {
    check_with(JwtSettings { leeway_ms: 5_000, ..JwtSettings::default() }, claims)
}

fn reason(claims: Value) -> String {
    check(claims).expect_err("it is refused").to_string()
}

#[test]
fn a_good_token_says_who_and_until_when() {
    let token = check(json!({"sub": "alice", "exp": NOW_S + 60, "device": "phone", "scope": ["monitor"]}));
    let token = token.expect("it is good");
    assert_eq!(token.user.as_str(), "alice");
    assert_eq!(token.device.map(|device| device.to_string()), Some("phone".to_owned()));
    assert_eq!(token.scope, ["monitor"]);
    assert_eq!(token.expires_at, NOW_MS + 60_000);
}

#[test]
fn it_expires_after_the_leeway_and_not_before() {
    assert!(check(json!({"sub": "alice", "exp": NOW_S - 4})).is_ok());
    assert_eq!(check(json!({"sub": "alice", "exp": NOW_S - 5})), Err(TokenError::Expired));
}

#[test]
fn exp_and_sub_are_needed_and_must_make_sense() {
    assert!(reason(json!({"sub": "alice"})).contains("exp"));
    assert!(reason(json!({"exp": NOW_S + 60})).contains("sub"));
    assert!(reason(json!({"sub": "a b", "exp": NOW_S + 60})).contains("not ' '"));
    assert!(reason(json!({"sub": "alice", "exp": NOW_MS})).contains("counts seconds"));
    assert!(reason(json!({"sub": "alice", "exp": NOW_S + 60, "nbf": NOW_S + 10})).contains("nbf"));
    assert!(reason(json!({"sub": "system", "exp": NOW_S + 60})).contains("keeps for itself"));
    assert!(reason(json!({"sub": "alice", "exp": NOW_S + 60, "scope": vec!["x"; 17]})).contains("scope"));
}

#[test]
fn issuer_and_audience_count_where_they_are_set() {
    let settings = || JwtSettings { issuer: "us".into(), audience: "chat".into(), ..JwtSettings::default() };
    let with = |iss: &str, aud: &str| json!({"sub": "a", "exp": NOW_S + 60, "iss": iss, "aud": [aud]});
    assert!(check_with(settings(), with("us", "chat")).is_ok());
    assert!(check_with(settings(), with("them", "chat")).is_err());
    assert!(check_with(settings(), with("us", "mail")).is_err());
    assert!(check_with(settings(), json!({"sub": "a", "exp": NOW_S + 60})).is_err());
    assert!(check(with("anybody", "anything")).is_ok());
}

#[test]
fn a_token_of_another_key_is_refused() {
    let (ours, theirs) = (SigningKey::random(), SigningKey::random());
    let checker = TokenChecker::new(&JwtSettings::default(), Some(&ours)).expect("a key is there");
    let claims = json!({"sub": "alice", "exp": NOW_S + 60});
    assert!(checker.check(&signed(&theirs, &claims), NOW_MS).is_err());
    let same_name = SigningKey::from_text(&ours.kid, &"another secret of some length".into());
    assert!(checker.check(&signed(&same_name, &claims), NOW_MS).is_err());
}

#[test]
fn alg_none_and_nonsense_are_refused() {
    let checker =
        TokenChecker::new(&JwtSettings::default(), Some(&SigningKey::random())).expect("a key is there");
    // {"alg":"none"} . {"sub":"alice","exp":9999999999}
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OX0.";
    for token in ["", "a.b.c", "….….…", unsigned] {
        assert!(matches!(checker.check(token, NOW_MS), Err(TokenError::Invalid(_))), "{token}");
    }
}

#[test]
fn no_key_at_all_stops_the_start() {
    assert!(TokenChecker::new(&JwtSettings::default(), None).is_err());
    let weak = JwtSettings { hs256_secret: "short".into(), ..JwtSettings::default() };
    let refused = TokenChecker::new(&weak, None).err().expect("too short").to_string();
    assert_eq!(refused, "jwt.hs256_secret: expected 32 random bytes or more");
}
