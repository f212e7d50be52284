//! The tree for people's eyes.

use figment::value::{Dict, Value};

const MASK: &str = "***";

/// What a key is called that holds a secret.
const SECRET_NAMES: [&str; 6] = ["secret", "password", "token", "api_key", "private_key", "ticket_key"];

/// What is no secret of a table that is one: how its key is called and what it is for.
const PLAIN_WITHIN: [&str; 2] = ["name", "scopes"];

/// The same tree; what is secret by its name, and passwords inside URLs, replaced by `***`.
pub(super) fn masked(table: Dict) -> Dict {
    table
        .into_iter()
        .map(|(key, value)| {
            let value = if is_secret(&key) { hidden(value) } else { shown(value) };
            (key, value)
        })
        .collect()
}

/// `secret`, `api_keys`, `redis_password`; but not `token_ttl_ms`, nor a file's name.
fn is_secret(key: &str) -> bool {
    let singular = key.strip_suffix('s').unwrap_or(key);
    SECRET_NAMES.iter().any(|name| singular == *name || singular.ends_with(&format!("_{name}")))
}

fn hidden(value: Value) -> Value {
    match value {
        Value::String(tag, text) if text.is_empty() => Value::String(tag, text),
        Value::String(tag, _) => Value::String(tag, MASK.into()),
        Value::Array(tag, items) => Value::Array(tag, items.into_iter().map(hidden).collect()),
        Value::Dict(tag, inner) => {
            let hide = |(key, value): (String, Value)| {
                let value = if PLAIN_WITHIN.contains(&key.as_str()) { value } else { hidden(value) };
                (key, value)
            };
            Value::Dict(tag, inner.into_iter().map(hide).collect())
        }
        // A number may be a secret too: text that the environment's reader took for a number.
        other @ (Value::Bool(..) | Value::Empty(..)) => other,
        other => Value::String(other.tag(), MASK.into()),
    }
}

fn shown(value: Value) -> Value {
    match value {
        Value::Dict(tag, inner) => Value::Dict(tag, masked(inner)),
        Value::Array(tag, items) => Value::Array(tag, items.into_iter().map(shown).collect()),
        Value::String(tag, text) => Value::String(tag, without_password(text)),
        other => other,
    }
}

/// `redis://user:***@host`.
fn without_password(text: String) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{scheme}://{user}:{MASK}@{host}{path}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        assert!(
            ["secret", "api_keys", "token_secret", "redis_password", "ticket_key"].into_iter().all(is_secret)
        );
        assert!(
            !["port", "token_ttl_ms", "secret_file", "weight", "public_key_file"].into_iter().any(is_secret)
        );
    }

    #[test]
    fn of_a_table_with_a_key_the_name_and_the_scopes_are_shown() {
        let table = Dict::from([
            ("name".to_owned(), Value::from("shop")),
            ("key".to_owned(), Value::from("very secret")),
            ("scopes".to_owned(), Value::from(vec!["read"])),
        ]);
        let tree = Dict::from([("api_keys".to_owned(), Value::from(vec![table]))]);
        let shown = serde_json::to_value(masked(tree)).expect("JSON");
        let expected = serde_json::json!([{"name": "shop", "key": "***", "scopes": ["read"]}]);
        assert_eq!(shown["api_keys"], expected);
    }

    #[test]
    fn a_password_inside_a_url_is_masked() {
        assert_eq!(without_password("redis://me:pass@host:1/0".into()), "redis://me:***@host:1/0");
        assert_eq!(without_password("http://host:1/a@b:c".into()), "http://host:1/a@b:c");
    }
}
