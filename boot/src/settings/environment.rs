//! Settings from the environment: `PHALANX__SPEAR__LIMITS__BODY_BYTES=1024`.

use figment::{
    Error, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::SettingsError;

const PREFIX: &str = "PHALANX__";

/// One variable, as a layer of its own, so that an error can name it.
pub(super) struct Variable {
    name: String,
    path: Vec<String>,
    value: Value,
}

impl Variable {
    /// `None` where the variable is not meant for us.
    pub(super) fn parse(name: &str, text: &str) -> Option<Result<Self, SettingsError>> {
        let key = name.strip_prefix(PREFIX)?;
        let mut path: Vec<String> = key.split("__").map(str::to_ascii_lowercase).collect();
        if path.len() < 2 || path.iter().any(String::is_empty) {
            let problem = format!("environment variable {name}: expected {PREFIX}SECTION__KEY");
            return Some(Err(SettingsError::plain(problem)));
        }
        // Names of variables cannot hold the `-` of this role.
        if path[0] == "minions_ui" {
            "minions-ui".clone_into(&mut path[0]);
        }
        // Numbers, true, false, and lists and tables as JSON, are taken as such; anything else is text.
        let json =
            text.trim_start().starts_with(['[', '{']).then(|| serde_json::from_str(text).ok()).flatten();
        let value = json.unwrap_or_else(|| text.parse().unwrap_or_else(|never| match never {}));
        Some(Ok(Self { name: name.to_owned(), path, value }))
    }

    pub(super) fn section(&self) -> &str {
        &self.path[0]
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("environment variable {}", self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let nested = self
            .path
            .iter()
            .rev()
            .fold(self.value.clone(), |value, key| Value::from(Dict::from([(key.clone(), value)])));
        Ok(Map::from([(Profile::Default, nested.into_dict().unwrap_or_default())]))
    }
}
