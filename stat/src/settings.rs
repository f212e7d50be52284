//! The `[stat]` table of the settings.

use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::{
    api_key::{self, ApiKey, KEY_MIN_BYTES},
    export::{ExportSettings, ExportSettingsError},
    webhooks::{WebhookSettings, WebhookSettingsError},
};

/// What only stat has in its table; `profiles/default/stat.toml` documents each setting.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// HTTP, for back ends; 0 lets the system choose.
    pub http_port: u16,
    /// What back ends are given; empty: `http://host:http_port`.
    #[serde(default)]
    pub public_url: String,
    /// Each of these opens the business API, as far as its scopes go.
    #[serde(default)]
    pub api_keys: Vec<ApiKey>,
    /// How far back `/v1/nodes/{id}/history` goes, in minutes.
    pub history_minutes: u32,
    /// Bounds of this role.
    pub limits: Limits,
    /// Bounds of what back ends send and ask for.
    pub conversation: conversation::Limits,
    /// Which back end is told what happens.
    pub webhooks: WebhookSettings,
    /// Where every stored message is sent.
    pub export: ExportSettings,
}

/// Bounds of what one request, and all of them, may cost.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The largest body of a request, in bytes.
    pub body_bytes: usize,
    /// How long one request may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// How many requests are worked on at once; a further one is refused.
    pub requests: usize,
    /// How many nodes the history covers; beyond it the one that was silent longest is forgotten.
    pub history_nodes: usize,
    /// How many counters one report may hold.
    pub counters: usize,
}

/// Why the settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A key is missing outside the embedded profile.
    #[error(
        "stat.api_keys is empty: set at least one key of {KEY_MIN_BYTES} bytes or more, best as PHALANX__STAT__API_KEYS"
    )]
    NoKey,
    /// A key can be guessed.
    #[error(
        "stat.api_keys: entry {0} has a key that is shorter than {KEY_MIN_BYTES} bytes, or known to everybody: use a random one"
    )]
    WeakKey(usize),
    /// A key opens nothing.
    #[error("stat.api_keys: entry {0} has no scope: expected some of read, send, manage")]
    NoScope(usize),
    /// A key has a name that is none.
    #[error("stat.api_keys: entry {entry}: its name {problem}")]
    KeyName {
        /// Which entry, from 1.
        entry: usize,
        /// What is wrong with it.
        problem: wire::NameError,
    },
    /// Two entries cannot be told apart.
    #[error("stat.api_keys: entry {entry} has the name or the key of entry {earlier}: each needs its own")]
    SameKey {
        /// Which entry, from 1.
        entry: usize,
        /// The one before it.
        earlier: usize,
    },
    /// More keys than a request may be compared with.
    #[error("stat.api_keys: expected at most 100 keys, got {0}")]
    TooManyKeys(usize),
    /// Two settings contradict each other.
    #[error("stat.{key}: expected more than {than}, got {got}")]
    TooSmall {
        /// Which setting.
        key: &'static str,
        /// The other one.
        than: &'static str,
        /// What was found.
        got: u64,
    },
    /// A bound of what back ends send is out of its range.
    #[error("stat.conversation.{0}")]
    Conversation(conversation::LimitError),
    /// Webhooks cannot be told like this.
    #[error("stat.webhooks.{0}")]
    Webhooks(WebhookSettingsError),
    /// Messages cannot be exported like this.
    #[error("stat.export.{0}")]
    Export(ExportSettingsError),
    /// A number is out of its range.
    #[error("stat.{key}: expected {expected}, got {got}")]
    Range {
        /// Which setting.
        key: &'static str,
        /// Its range.
        expected: &'static str,
        /// What was found.
        got: u64,
    },
}

impl Settings {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first [`SettingsError`] found.
    pub fn check(&self, embedded: bool) -> Result<(), SettingsError> {
        if self.api_keys.is_empty() && !embedded {
            return Err(SettingsError::NoKey);
        }
        api_key::check(&self.api_keys)?;
        let (limits, conversation) = (&self.limits, &self.conversation);
        let ranges: [(&'static str, u64, u64, u64, &'static str); 6] = [
            ("history_minutes", self.history_minutes.into(), 1, 1440, "1 to 1440"),
            ("limits.body_bytes", limits.body_bytes as u64, 1024, 64 << 20, "1024 to 67108864"),
            ("limits.request_timeout_ms", limits.request_timeout_ms, 100, 600_000, "100 to 600000"),
            ("limits.requests", limits.requests as u64, 1, 100_000, "1 to 100000"),
            ("limits.history_nodes", limits.history_nodes as u64, 1, 10_000, "1 to 10000"),
            ("limits.counters", limits.counters as u64, 1, 1000, "1 to 1000"),
        ];
        for (key, got, low, high, expected) in ranges {
            if !(low..=high).contains(&got) {
                return Err(SettingsError::Range { key, expected, got });
            }
        }
        conversation.check().map_err(SettingsError::Conversation)?;
        self.webhooks.check().map_err(SettingsError::Webhooks)?;
        self.export.check().map_err(SettingsError::Export)?;
        if limits.request_timeout_ms <= conversation.send_timeout_ms {
            return Err(SettingsError::TooSmall {
                key: "limits.request_timeout_ms",
                than: "stat.conversation.send_timeout_ms",
                got: limits.request_timeout_ms,
            });
        }
        if limits.body_bytes <= conversation.body_bytes {
            return Err(SettingsError::TooSmall {
                key: "limits.body_bytes",
                than: "stat.conversation.body_bytes",
                got: limits.body_bytes as u64,
            });
        }
        Ok(())
    }

    /// How many samples of a second the history holds for a node.
    pub(crate) fn history_samples(&self) -> usize {
        self.history_minutes as usize * 60
    }
}

/// Compares two secrets in constant time; only their lengths show.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

impl boot::RoleSettings for Settings {
    fn check(&self, embedded: bool) -> anyhow::Result<()> {
        Ok(Self::check(self, embedded)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use boot::Tree;
    use wire::Role;

    use super::*;
    use crate::api_key::Scope;

    pub(crate) fn settings() -> Settings {
        Settings {
            http_port: 0,
            public_url: String::new(),
            api_keys: Vec::new(),
            history_minutes: 60,
            limits: Limits {
                body_bytes: 1 << 20,
                request_timeout_ms: 10_000,
                requests: 1000,
                history_nodes: 100,
                counters: 64,
            },
            conversation: conversation::Limits::default(),
            webhooks: WebhookSettings::off(),
            export: ExportSettings::off(),
        }
    }

    #[test]
    fn the_documented_defaults_are_good_for_both_instances() {
        let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles");
        let key = ("PHALANX__STAT__API_KEYS".to_owned(), "[\"0123456789abcdef\"]".to_owned());
        let tree = Tree::load(&profiles, "default", [key]).expect("profiles/default can be read");
        for (instance, port) in [(0, 50100), (1, 50101)] {
            let settings: Settings = tree.role(Role::Stat, instance).expect("stat.toml is complete");
            assert_eq!(settings.check(false), Ok(()));
            assert_eq!(settings.http_port, port);
            assert_eq!(settings.conversation, conversation::Limits::default());
            assert_eq!(format!("{:?}", settings.webhooks), format!("{:?}", WebhookSettings::off()));
            assert_eq!(format!("{:?}", settings.export), format!("{:?}", ExportSettings::off()));
        }
    }

    #[test]
    fn outside_the_embedded_profile_a_strong_key_is_needed() {
        let mut settings = settings();
        assert_eq!(settings.check(true), Ok(()));
        assert_eq!(settings.check(false), Err(SettingsError::NoKey));
        settings.api_keys = vec![ApiKey::of_all_scopes(api_key::DEV_API_KEY)];
        assert_eq!(settings.check(false), Err(SettingsError::WeakKey(1)));
        settings.api_keys = vec![ApiKey::of_all_scopes("0123456789abcdef")];
        assert_eq!(settings.check(false), Ok(()));
    }

    fn api_keys(variable: &str) -> Result<Vec<ApiKey>, String> {
        let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles");
        let variable = ("PHALANX__STAT__API_KEYS".to_owned(), variable.to_owned());
        let tree = Tree::load(&profiles, "default", [variable]).expect("profiles/default can be read");
        let shown = tree.to_toml().expect("printed");
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
        tree.role::<Settings>(Role::Stat, 0)
            .map(|settings| settings.api_keys)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn keys_come_from_the_environment_as_json() {
        let keys = api_keys(
            r#"[{"name": "shop", "key": "0123456789abcdef", "scopes": ["send", "read"]}, "0123456789abcdef-2"]"#,
        );
        let keys = keys.expect("both forms");
        assert_eq!((keys[0].name.as_str(), keys[0].key.expose()), ("shop", "0123456789abcdef"));
        assert_eq!(keys[0].scopes, [Scope::Send, Scope::Read]);
        assert_eq!(keys[1], ApiKey::of_all_scopes("0123456789abcdef-2"));
    }

    #[test]
    fn a_key_that_is_not_understood_is_named() {
        let place = "environment variable PHALANX__STAT__API_KEYS: stat.api_keys";
        let table = [
            (
                r#"[{"name": "shop", "key": "0123456789abcdef", "scopes": ["sned"]}]"#,
                "expected one of read, send, manage, got \"sned\"",
            ),
            (
                r#"[{"name": "shop", "key": "0123456789abcdef", "scope": ["send"]}]"#,
                "unknown key, did you mean scopes?",
            ),
            (r#"[{"name": "shop", "key": "0123456789abcdef"}]"#, "scopes: this key is missing"),
            ("[7]", "expected a table {name, key, scopes}, or a key as text, got 7"),
        ];
        for (variable, expected) in table {
            let refused = api_keys(variable).expect_err(expected);
            assert!(refused.starts_with(place) && refused.ends_with(expected), "{refused}");
        }
    }

    #[test]
    fn a_number_out_of_range_is_named() {
        let mut settings = settings();
        settings.limits.counters = 1001;
        let refused = settings.check(true).expect_err("1001 is too many");
        assert_eq!(refused.to_string(), "stat.limits.counters: expected 1 to 1000, got 1001");
    }

    #[test]
    fn a_request_outlasts_a_send_and_holds_a_whole_message() {
        let mut settings = settings();
        settings.limits.request_timeout_ms = settings.conversation.send_timeout_ms;
        let refused = settings.check(true).expect_err("a send may take as long");
        let expected =
            "stat.limits.request_timeout_ms: expected more than stat.conversation.send_timeout_ms, got 5000";
        assert_eq!(refused.to_string(), expected);
        settings.limits.request_timeout_ms += 1;
        settings.limits.body_bytes = settings.conversation.body_bytes;
        assert!(settings.check(true).is_err(), "a message has more than its body");
    }

    #[test]
    fn secrets_are_the_same_when_every_byte_is() {
        assert!(same("0123456789abcdef", "0123456789abcdef"));
        assert!(!same("0123456789abcdef", "0123456789abcdeX"));
        assert!(!same("0123456789abcdef", ""));
    }
}
