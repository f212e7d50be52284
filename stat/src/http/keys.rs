//! Who may come in, and where.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Extension,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use boot::{Problem, Secret};
use wire::Code;

use crate::{
    api_key::{ApiKey, DEV_API_KEY, Scope},
    settings::same,
};

/// The keys that open the API. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keys {
    known: Arc<[(Secret, Caller)]>,
    /// Whether the key of the embedded profile is one, for callers on this machine.
    embedded: bool,
}

/// Whose key a request came with. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    name: Arc<str>,
    scopes: Arc<[Scope]>,
}

/// Lets a request through that came with a key of this scope. Handlers find the [`Caller`] in it, and so does who counts the
/// answer.
pub(super) async fn check(
    State(scope): State<Scope>,
    Extension(keys): Extension<Keys>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let caller = match keys.check(request.headers(), peer) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let mut response = match caller.may(scope) {
        Ok(()) => {
            request.extensions_mut().insert(caller.clone());
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    response.extensions_mut().insert(caller);
    response
}

impl Caller {
    fn new(name: &str, scopes: &[Scope]) -> Self {
        Self { name: name.into(), scopes: scopes.into() }
    }

    /// The name of the key, never the key.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `forbidden` where the key does not have this scope.
    pub(super) fn may(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        let detail = format!("the API key {} does not have the scope {}", self.name, scope.as_str());
        Err(Problem::new(Code::Forbidden, detail))
    }
}

impl Keys {
    pub(super) fn new(known: &[ApiKey], embedded: bool) -> Self {
        let caller = |(place, key): (usize, &ApiKey)| {
            (key.key.clone(), Caller::new(&key.shown_name(place), &key.scopes))
        };
        Self { known: known.iter().enumerate().map(caller).collect(), embedded }
    }

    fn check(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Caller, Problem> {
        let Some(presented) = bearer(headers) else {
            return Err(Problem::new(Code::TokenInvalid, "bring an API key: Authorization: Bearer <key>"));
        };
        // No early return: how long it takes does not tell which key was nearly right.
        let known =
            self.known.iter().fold(
                None,
                |known, (key, caller)| {
                    if same(key.expose(), presented) { Some(caller) } else { known }
                },
            );
        if let Some(caller) = known {
            return Ok(caller.clone());
        }
        if self.embedded && same(presented, DEV_API_KEY) {
            if is_local(headers, peer) {
                return Ok(Caller::new(DEV_API_KEY, &Scope::ALL));
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
