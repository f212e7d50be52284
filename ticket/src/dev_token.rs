//! `POST /dev/token`: tokens for newcomers, in the embedded cluster and on loopback only.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, Uri, header};
use boot::{Problem, SigningKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use wire::{Code, Device, User};

/// How long a token is valid where the request does not say, in seconds: a working day.
const TTL_DEFAULT_S: u64 = 12 * 3600;

/// The longest validity, in seconds: a week.
const TTL_MAX_S: u64 = 7 * 24 * 3600;

/// The body of the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DevTokenRequest {
    user: User,
    #[serde(default)]
    device: Option<Device>,
    #[serde(default)]
    scope: Vec<String>,
    /// Seconds.
    #[serde(default)]
    ttl: Option<u64>,
}

/// The answer.
#[derive(Serialize)]
pub(crate) struct DevToken {
    token: String,
    expires_at: i64,
}

/// Signs them.
pub(crate) struct DevTokens {
    header: Header,
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a User,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a Device>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    scope: &'a [String],
}

impl DevTokens {
    pub(crate) fn new(key: &SigningKey) -> Self {
        let header = Header { kid: Some(key.kid.to_string()), ..Header::new(Algorithm::HS256) };
        Self { header, key: EncodingKey::from_secret(key.bytes()) }
    }

    /// A token as a back end would sign it.
    ///
    /// # Errors
    /// [`Code::BadRequest`].
    pub(crate) fn sign(&self, request: &DevTokenRequest, now_ms: i64) -> Result<DevToken, Problem> {
        if token::is_reserved(&request.user) {
            return Err(Problem::new(Code::BadRequest, "user: this name is kept for the cluster itself"));
        }
        let ttl = request.ttl.unwrap_or(TTL_DEFAULT_S);
        if !(1..=TTL_MAX_S).contains(&ttl) {
            return Err(Problem::new(Code::BadRequest, format!("ttl: expected 1 to {TTL_MAX_S} seconds")));
        }
        let issued = now_ms / 1000;
        let expires = issued + ttl as i64;
        let claims = Claims {
            sub: &request.user,
            iat: issued,
            exp: expires,
            device: request.device.as_ref(),
            scope: &request.scope,
        };
        let token =
            jsonwebtoken::encode(&self.header, &claims, &self.key).map_err(|_| Problem::internal())?;
        Ok(DevToken { token, expires_at: expires * 1000 })
    }
}

/// Whether the request comes from this machine, and from no page of another one.
///
/// A proxy on this machine would make everybody local, and a browser on it would ask for any page on the web: what a
/// proxy adds, and what a browser says about the page, must not name another host.
pub(crate) fn is_local(peer: SocketAddr, headers: &HeaderMap) -> bool {
    let proxied =
        ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| headers.contains_key(*name));
    let local = |name| headers.get(name).is_none_or(|value| value.to_str().is_ok_and(names_this_machine));
    peer.ip().to_canonical().is_loopback() && !proxied && local(header::ORIGIN) && local(header::HOST)
}

/// `http://localhost:40000`, `127.0.0.1:20000`.
fn names_this_machine(origin_or_host: &str) -> bool {
    let authority = origin_or_host.split_once("://").map_or(origin_or_host, |(_, authority)| authority);
    let uri: Result<Uri, _> = format!("http://{authority}/").parse();
    uri.ok().and_then(|uri| uri.host().map(is_loopback_host)).unwrap_or(false)
}

fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn asked(peer: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
            .collect();
        is_local(peer.parse().expect("an address"), &headers)
    }

    #[test]
    fn only_this_machine_asks() {
        assert!(asked("127.0.0.1:5", &[("host", "127.0.0.1:20000")]));
        assert!(asked("[::1]:5", &[("host", "localhost:20000"), ("origin", "http://localhost:40000")]));
        assert!(asked("[::ffff:127.0.0.1]:5", &[("host", "[::1]:20000")]));
        assert!(!asked("10.0.0.7:5", &[("host", "127.0.0.1:20000")]));
    }

    #[test]
    fn a_page_of_another_host_does_not() {
        assert!(!asked("127.0.0.1:5", &[("host", "127.0.0.1:1"), ("origin", "https://evil.example")]));
        assert!(
            !asked("127.0.0.1:5", &[("host", "evil.example:20000")]),
            "a name that was bound to loopback"
        );
        assert!(!asked("127.0.0.1:5", &[("origin", "http://localhost.evil.example")]));
        assert!(!asked("127.0.0.1:5", &[("origin", "null")]));
    }

    #[test]
    fn nor_does_one_behind_a_proxy() {
        assert!(!asked("127.0.0.1:5", &[("x-forwarded-for", "10.0.0.7")]));
        assert!(!asked("127.0.0.1:5", &[("forwarded", "for=10.0.0.7")]));
    }
}
