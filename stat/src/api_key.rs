//! [`ApiKey`]: what opens the business API, and for what.

use std::{fmt, marker::PhantomData};

use boot::Secret;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::settings::SettingsError;

/// The key that works without being set: in the embedded profile, from loopback. It has every scope.
pub(crate) const DEV_API_KEY: &str = "dev-api-key";

/// The shortest API key that is taken, in bytes.
pub(crate) const KEY_MIN_BYTES: usize = 16;

/// The most keys: each request is compared with all of them, and each may have series of metrics of its own.
const KEYS_MOST: usize = 100;

/// What a key may be used for. None of them holds another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everything that only looks.
    Read,
    /// Sending messages, in anybody's name.
    Send,
    /// Groups and their members; kicks, bans and erasures.
    Manage,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Send, Self::Manage];

    /// As the settings have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Send => "send",
            Self::Manage => "manage",
        }
    }
}

/// One entry of `stat.api_keys`: a table `{name, key, scopes}`, or only the key, which then has every scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// For logs and metrics; empty where none was given.
    pub name: String,
    /// What the caller brings.
    pub key: Secret,
    /// What it opens.
    pub scopes: Vec<Scope>,
}

impl ApiKey {
    /// A key with every scope and without a name.
    pub fn of_all_scopes(key: &str) -> Self {
        Self { name: String::new(), key: key.into(), scopes: Scope::ALL.to_vec() }
    }

    /// Its name; that of an entry without one is its place in the list, from 0.
    pub(crate) fn shown_name(&self, place: usize) -> String {
        if self.name.is_empty() { format!("key-{}", place + 1) } else { self.name.clone() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    key: Secret,
    scopes: Vec<Scope>,
}

impl<'de> Deserialize<'de> for ApiKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TableOrText(PhantomData<ApiKey>);

        impl<'de> Visitor<'de> for TableOrText {
            type Value = ApiKey;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a table {name, key, scopes}, or a key as text")
            }

            fn visit_str<E>(self, key: &str) -> Result<ApiKey, E> {
                Ok(ApiKey::of_all_scopes(key))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ApiKey, A::Error> {
                let Table { name, key, scopes } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ApiKey { name, key, scopes })
            }
        }

        deserializer.deserialize_any(TableOrText(PhantomData))
    }
}

/// Checks all keys together.
pub(crate) fn check(keys: &[ApiKey]) -> Result<(), SettingsError> {
    if keys.len() > KEYS_MOST {
        return Err(SettingsError::TooManyKeys(keys.len()));
    }
    for (place, key) in keys.iter().enumerate() {
        let entry = place + 1;
        let text = key.key.expose();
        if text.len() < KEY_MIN_BYTES || text == DEV_API_KEY {
            return Err(SettingsError::WeakKey(entry));
        }
        if key.scopes.is_empty() {
            return Err(SettingsError::NoScope(entry));
        }
        let name = key.shown_name(place);
        if let Err(problem) = wire::User::new(&name) {
            return Err(SettingsError::KeyName { entry, problem });
        }
        for (earlier, other) in keys[..place].iter().enumerate() {
            if other.shown_name(earlier) == name || other.key == key.key {
                return Err(SettingsError::SameKey { entry, earlier: earlier + 1 });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, key: &str, scopes: &[Scope]) -> ApiKey {
        ApiKey { name: name.into(), key: key.into(), scopes: scopes.to_vec() }
    }

    #[test]
    fn names_keys_and_scopes_are_checked() {
        let good = key("shop", "0123456789abcdef", &[Scope::Send]);
        let bare = ApiKey::of_all_scopes("fedcba9876543210");
        assert_eq!(check(&[good.clone(), bare.clone()]), Ok(()));
        let table = [
            (vec![key("shop", "0123456789abcde", &[Scope::Send])], "stat.api_keys: entry 1 has a key"),
            (vec![ApiKey::of_all_scopes(DEV_API_KEY)], "stat.api_keys: entry 1 has a key"),
            (vec![key("shop", "0123456789abcdef", &[])], "stat.api_keys: entry 1 has no scope"),
            (vec![key("a b", "0123456789abcdef", &[Scope::Read])], "stat.api_keys: entry 1: its name"),
            (
                vec![good.clone(), key("shop", "0123456789abcdeF", &[Scope::Read])],
                "stat.api_keys: entry 2 has the name or the key of entry 1",
            ),
            (
                vec![good.clone(), key("other", "0123456789abcdef", &[Scope::Read])],
                "stat.api_keys: entry 2 has the name or the key of entry 1",
            ),
            (
                vec![key("key-2", "0123456789abcdef", &[Scope::Read]), bare],
                "stat.api_keys: entry 2 has the name or the key of entry 1",
            ),
            (vec![good; 101], "stat.api_keys: expected at most 100 keys, got 101"),
        ];
        for (keys, expected) in table {
            let refused = check(&keys).expect_err(expected).to_string();
            assert!(refused.starts_with(expected), "{refused}");
            assert!(!refused.contains("0123456789"), "{refused}");
        }
    }
}
