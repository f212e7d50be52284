//! Who may come in.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use boot::{Problem, Secret};
use wire::Code;

use crate::settings::{DEV_API_KEY, same};

/// The keys that open the API. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keys {
    known: Arc<[Secret]>,
    /// Whether the key of the embedded profile is one, for callers on this machine.
    embedded: bool,
}

/// Lets a request with a good API key through.
pub(super) async fn check(State(keys): State<Keys>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    match keys.check(request.headers(), peer) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

impl Keys {
    pub(super) fn new(known: &[Secret], embedded: bool) -> Self {
        Self { known: known.into(), embedded }
    }

    fn check(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<(), Problem> {
        let Some(presented) = bearer(headers) else {
            return Err(Problem::new(Code::TokenInvalid, "bring an API key: Authorization: Bearer <key>"));
        };
        // No early return: how long it takes does not tell which key was nearly right.
        let known = self.known.iter().fold(false, |known, key| known | same(key.expose(), presented));
        if known {
            return Ok(());
        }
        if self.embedded && same(presented, DEV_API_KEY) {
            if is_local(headers, peer) {
                return Ok(());
            }
            return Err(Problem::new(
                Code::TokenInvalid,
                "dev-api-key opens this from the same machine only: set stat.api_keys",
            ));
        }
        Err(Problem::new(Code::TokenInvalid, "this API key is not known"))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Whether the caller is on this machine: by the address, not through a proxy, and not by a foreign name that a web page
/// had pointed at loopback.
fn is_local(headers: &HeaderMap, peer: Option<IpAddr>) -> bool {
    let proxied = headers.contains_key("forwarded") || headers.contains_key("x-forwarded-for");
    let by_local_name = headers.get(header::HOST).is_none_or(|host| {
        let host = host.to_str().ok().and_then(|host| host.parse::<Uri>().ok());
        let host = host.as_ref().and_then(Uri::host).unwrap_or("?");
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    });
    peer.is_some_and(|peer| peer.to_canonical().is_loopback()) && !proxied && by_local_name
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let entry = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        pairs.iter().map(entry).collect()
    }

    #[test]
    fn local_means_address_and_name_and_no_proxy() {
        let here = Some(IpAddr::from(Ipv4Addr::LOCALHOST));
        let there = Some(IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)));
        for host in ["localhost:50100", "127.0.0.1:50100", "[::1]:50100", "localhost"] {
            assert!(is_local(&headers(&[("host", host)]), here), "{host}");
        }
        assert!(is_local(&headers(&[]), "::ffff:127.0.0.1".parse().ok()));
        assert!(!is_local(&headers(&[("host", "evil.example:50100")]), here));
        assert!(!is_local(&headers(&[("host", "localhost"), ("x-forwarded-for", "192.0.2.1")]), here));
        assert!(!is_local(&headers(&[("host", "localhost")]), there));
        assert!(!is_local(&headers(&[]), None));
    }

    #[test]
    fn a_key_comes_as_a_bearer() {
        assert_eq!(bearer(&headers(&[("authorization", "Bearer abc")])), Some("abc"));
        assert_eq!(bearer(&headers(&[("authorization", "bearer abc")])), Some("abc"));
        assert_eq!(bearer(&headers(&[("authorization", "Basic abc")])), None);
        assert_eq!(bearer(&headers(&[("authorization", "abc")])), None);
        assert_eq!(bearer(&headers(&[])), None);
    }
}
