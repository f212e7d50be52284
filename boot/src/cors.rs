//! Which web pages may ask the roles that are open to the outside.

use anyhow::Context;
use axum::http::HeaderValue;
use serde::Deserialize;
use tower_http::cors::{AllowOrigin, Any};

/// Which web pages may ask: the table `cors` of a role.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsSettings {
    /// Their origins, `https://host` or `https://host:port`; `*` for any. Empty: any in the embedded cluster, none elsewhere.
    pub origins: Vec<String>,
}

impl CorsSettings {
    /// What the role's server is to allow.
    ///
    /// # Errors
    /// An origin that is none, with what was expected.
    pub fn allow_origin(&self, embedded: bool) -> anyhow::Result<AllowOrigin> {
        if self.origins.iter().any(|origin| origin == "*") || (self.origins.is_empty() && embedded) {
            return Ok(Any.into());
        }
        let parse = |origin: &String| {
            let looks_right = origin.contains("://") && !origin.ends_with('/');
            let value = looks_right.then(|| HeaderValue::from_str(origin).ok()).flatten();
            value.with_context(|| {
                format!("cors.origins: expected https://host without a path, got {origin:?}")
            })
        };
        Ok(AllowOrigin::list(self.origins.iter().map(parse).collect::<Result<Vec<_>, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_with_a_path_is_refused() {
        let settings = CorsSettings { origins: vec!["https://app.example/".into()] };
        let refused = settings.allow_origin(false).expect_err("it ends with a slash");
        assert!(refused.to_string().contains("got \"https://app.example/\""), "{refused}");
    }
}
