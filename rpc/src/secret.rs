//! The cluster secret: what nodes show one another.

use std::{fmt, sync::Arc};

use subtle::ConstantTimeEq;
use tonic::{
    Request, Status,
    metadata::{Binary, MetadataValue},
    service::Interceptor,
};

/// Binary, so that any text can be a secret; never logged, never stored in HTTP/2's header tables.
const KEY: &str = "phalanx-secret-bin";

/// What every node of a cluster knows and nobody else. Its `Debug` shows `***`. Cheap to clone.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps the text. With an empty one every call is refused, so forgetting it opens nothing.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A client's interceptor: puts the secret into the metadata of every call.
#[derive(Clone)]
pub struct ShowSecret(MetadataValue<Binary>);

impl ShowSecret {
    /// Shows this one.
    pub fn new(secret: &Secret) -> Self {
        let mut value = MetadataValue::from_bytes(secret.0.as_bytes());
        value.set_sensitive(true);
        Self(value)
    }
}

impl fmt::Debug for ShowSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShowSecret(***)")
    }
}

impl Interceptor for ShowSecret {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert_bin(KEY, self.0.clone());
        Ok(request)
    }
}

/// A server's interceptor: lets a call through only with the cluster's secret, else `UNAUTHENTICATED`.
#[derive(Debug, Clone)]
pub struct Guard(Secret);

/// The interceptor of every gRPC server of this cluster.
pub fn guard(secret: &Secret) -> Guard {
    Guard(secret.clone())
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let shown = request.metadata().get_bin(KEY).and_then(|value| value.to_bytes().ok());
        let expected = self.0.0.as_bytes();
        let right = shown.is_some_and(|shown| bool::from(shown.as_ref().ct_eq(expected)));
        if right && !expected.is_empty() {
            return Ok(request);
        }
        metrics::counter!("phalanx_rpc_unauthenticated_total").increment(1);
        Err(Status::unauthenticated(
            "the cluster secret is missing or wrong: set cluster.secret to the same on every node",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(client: &str, server: &str) -> Result<(), tonic::Code> {
        let request =
            ShowSecret::new(&Secret::new(client)).call(Request::new(())).expect("a client may show any");
        guard(&Secret::new(server)).call(request).map(|_| ()).map_err(|status| status.code())
    }

    #[test]
    fn only_the_cluster_s_secret_opens() {
        assert_eq!(shown("ümlaut and space", "ümlaut and space"), Ok(()));
        assert_eq!(shown("other", "secret"), Err(tonic::Code::Unauthenticated));
        assert_eq!(shown("secre", "secret"), Err(tonic::Code::Unauthenticated));
        assert_eq!(shown("", ""), Err(tonic::Code::Unauthenticated), "an unset secret opens nothing");
        let without = guard(&Secret::new("secret")).call(Request::new(()));
        assert_eq!(without.map(|_| ()).map_err(|status| status.code()), Err(tonic::Code::Unauthenticated));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("hunter2");
        let mut request = Request::new(());
        request = ShowSecret::new(&secret).call(request).expect("a client may show any");
        for text in [format!("{secret:?}"), format!("{:?}", guard(&secret)), format!("{request:?}")] {
            assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        }
    }
}
