//! All settings of a profile, and what each node gets of them.

use std::path::Path;

use figment::{
    Figment, Source,
    providers::{Format, Toml},
    value::{Dict, Num, Value},
};
use serde::{
    Deserialize as _,
    de::{DeserializeOwned, Deserializer, Error as _, value::Error as ProbeError},
};
use wire::Role;

use super::{
    Brokers, ClusterSettings, InstanceSettings, LogSettings, NodeSettings, RelayKind, RelaySettings,
    RosterKind, SettingsError, Shared, StoreKind, environment::Variable, error::did_you_mean, mask, pattern,
    profile,
};

/// As long as the hash (SHA-256) that they are used with.
const SECRET_MIN_BYTES: usize = 32;

/// The settings of a profile: defaults, profile and environment laid over one another.
#[derive(Debug, Clone)]
pub struct Tree {
    figment: Figment,
    profile: String,
    shared: Shared,
}

impl Tree {
    /// Reads `profiles/default`, `profiles/NAME` and the variables of `environment`.
    ///
    /// # Errors
    /// [`SettingsError`] names the file or variable, the key and what was expected; for a missing profile those that there are.
    pub fn load(
        profiles: &Path,
        name: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut figment = Figment::new();
        for file in profile::files(profiles, name)? {
            figment = figment.merge(Toml::file_exact(file));
        }
        for variable in environment.into_iter().filter_map(|(name, text)| Variable::parse(&name, &text)) {
            let variable = variable?;
            if !profile::tables().any(|table| table == variable.section()) {
                return Err(unknown_section(&variable));
            }
            figment = figment.merge(variable);
        }
        // First, so that a fault in it is not taken for one of the relay's, which follows it.
        let redis = table(&figment, "redis")?;
        let shared = Shared {
            instance: table::<InstanceSettings>(&figment, "instance")?,
            cluster: table::<ClusterSettings>(&figment, "cluster")?,
            log: table::<LogSettings>(&figment, "log")?,
            jwt: table(&figment, "jwt")?,
            roster: table(&figment, "roster")?,
            store: table(&figment, "store")?,
            relay: relay_table(&figment)?,
            zookeeper: table(&figment, "zookeeper")?,
            redis,
            brokers: Brokers::read(&figment)?,
            webhooks: table(&figment, "webhooks")?,
        };
        let tree = Self { figment, profile: name.to_owned(), shared };
        tree.check_shared()?;
        Ok(tree)
    }

    /// The name of the profile.
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// What all roles share.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// How many instances of `role` this profile has.
    ///
    /// # Errors
    /// [`SettingsError`] where it is no number, or more than 1000.
    pub fn instances(&self, role: Role) -> Result<u32, SettingsError> {
        let key = format!("{role}.instances");
        let found = self.figment.find_value(&key).ok().and_then(|value| u32::deserialize(&value).ok());
        match found.filter(|number| *number <= 1000) {
            Some(number) => Ok(number),
            None => Err(SettingsError::at(&self.place(&key), &key, "expected a whole number from 0 to 1000")),
        }
    }

    /// The settings of instance `instance` (from 0) of `role`: `++` is counted out, ports have the instance's offset.
    ///
    /// `S` may leave out the keys of [`NodeSettings`], or repeat some.
    ///
    /// # Errors
    /// [`SettingsError`] names file, key and what was expected.
    pub fn role<S: DeserializeOwned>(&self, role: Role, instance: u32) -> Result<S, SettingsError> {
        let mut table = self.resolved(role, instance)?;
        let fields = fields_of::<S>();
        table.retain(|key, _| !NodeSettings::KEYS.contains(&key.as_str()) || fields.contains(&key.as_str()));
        self.read(role, table)
    }

    /// Who instance `instance` (from 0) of `role` is and where it listens.
    ///
    /// # Errors
    /// As [`Tree::role`].
    pub fn node(&self, role: Role, instance: u32) -> Result<NodeSettings, SettingsError> {
        let mut table = self.resolved(role, instance)?;
        table.retain(|key, _| NodeSettings::KEYS.contains(&key.as_str()));
        let node: NodeSettings = self.read(role, table)?;
        let refuse = |key: &str, problem: &str| {
            let key = format!("{role}.{key}");
            Err(SettingsError::at(&self.place(&key), &key, problem))
        };
        if wire::User::new(&node.id).is_err() {
            let problem = format!("expected 1 to 64 of A-Z a-z 0-9 _ . : @ -, got {:?}", node.id);
            return refuse("id", &problem);
        }
        for (key, host) in [("host", &node.host), ("admin.host", &node.admin.host)] {
            if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
                return refuse(key, &format!("expected an address or a host name, got {host:?}"));
            }
        }
        let is_url = ["http://", "https://"]
            .into_iter()
            .any(|scheme| node.public_url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        if !is_url && !node.public_url.is_empty() {
            let problem = format!("expected http(s)://host:port, or nothing, got {:?}", node.public_url);
            return refuse("public_url", &problem);
        }
        if node.drain_timeout_ms > 3_600_000 {
            return refuse("drain_timeout_ms", "expected at most 3600000 (an hour)");
        }
        Ok(node)
    }

    /// Everything as TOML, secrets masked.
    ///
    /// # Errors
    /// [`SettingsError`] where the tree cannot be read.
    pub fn to_toml(&self) -> Result<String, SettingsError> {
        toml::to_string(&self.masked()?).map_err(|error| SettingsError::plain(error.to_string()))
    }

    /// Everything as JSON, secrets masked.
    ///
    /// # Errors
    /// [`SettingsError`] where the tree cannot be read.
    pub fn to_json(&self) -> Result<String, SettingsError> {
        serde_json::to_string_pretty(&self.masked()?).map_err(|error| SettingsError::plain(error.to_string()))
    }

    fn masked(&self) -> Result<Dict, SettingsError> {
        let tree: Dict = self.figment.extract().map_err(|error| SettingsError::plain(error.to_string()))?;
        Ok(mask::masked(tree))
    }

    fn check_shared(&self) -> Result<(), SettingsError> {
        let refuse = |key: &str, problem: &str| Err(SettingsError::at(&self.place(key), key, problem));
        let namespace = &self.shared.instance.namespace;
        if !namespace.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
            return refuse(
                "instance.namespace",
                &format!("expected A-Z a-z 0-9 _ - only, got {namespace:?}"),
            );
        }
        if let Err(error) = crate::logs::filter(&self.shared.log.level) {
            return Err(SettingsError::plain(format!("{}: {error}", self.place("log.level"))));
        }
        let embedded = self.shared.cluster.embedded;
        let kinds = [
            ("roster.kind", self.shared.roster.kind == RosterKind::Embedded, "embedded", "zookeeper"),
            ("store.kind", self.shared.store.kind == StoreKind::Sqlite, "sqlite", "redis"),
            ("relay.kind", self.shared.relay.kind == RelayKind::Embedded, "embedded", &RelayKind::outside()),
        ];
        let relay = self.shared.relay.kind;
        if let Some(feature) = relay.left_out() {
            let problem = format!("{relay:?} is not in this program: build it with --features {feature}");
            return refuse("relay.kind", &problem);
        }
        for (key, within_process, inside, outside) in kinds {
            if within_process != embedded {
                let expected = if embedded { inside } else { outside };
                return refuse(key, &format!("expected \"{expected}\": cluster.embedded is {embedded}"));
            }
        }
        let of = |table: &str, (key, problem): (&str, String)| {
            let key = format!("{table}.{key}");
            Err(SettingsError::at(&self.place(&key), &key, &problem))
        };
        self.shared.jwt.check().or_else(|fault| of("jwt", fault))?;
        self.shared.store.retention.check().or_else(|fault| of("store.retention", fault))?;
        let before_send = &self.shared.webhooks.before_send;
        before_send.check().or_else(|fault| of("webhooks.before_send", fault))?;
        self.shared.zookeeper.check().or_else(|fault| of("zookeeper", fault))?;
        let redis = &self.shared.redis;
        redis.check("REDIS").and_then(|()| redis.check_storing()).or_else(|fault| of("redis", fault))?;
        self.shared.relay.redis.check("RELAY__REDIS").or_else(|fault| of("relay.redis", fault))?;
        self.shared.brokers.check().or_else(|(table, fault)| of(table, fault))
    }

    /// Checks that the secrets are there that every process of a cluster must be given alike.
    ///
    /// # Errors
    /// [`SettingsError`] names the key and the variable to set.
    pub fn check_secrets(&self) -> Result<(), SettingsError> {
        let cluster = &self.shared.cluster;
        let secrets = [("secret", &cluster.secret), ("ticket_key", &cluster.ticket_key)];
        for (name, secret) in secrets.into_iter().filter(|_| !cluster.embedded) {
            let bytes = secret.expose().len();
            if bytes < SECRET_MIN_BYTES {
                let key = format!("cluster.{name}");
                let problem = format!(
                    "expected {SECRET_MIN_BYTES} bytes or more, random, the same on every node, got {bytes}: \
                     set it in the environment, PHALANX__CLUSTER__{}",
                    name.to_ascii_uppercase()
                );
                return Err(SettingsError::at(&self.place(&key), &key, &problem));
            }
        }
        Ok(())
    }

    /// The table of `role` with everything counted out for one instance.
    fn resolved(&self, role: Role, instance: u32) -> Result<Dict, SettingsError> {
        let instances = self.instances(role)?;
        let value = self.figment.find_value(role.as_str());
        let mut table = value.ok().and_then(Value::into_dict).unwrap_or_default();
        self.resolve(role.as_str(), &mut table, instance, instances)?;
        Ok(table)
    }

    fn resolve(
        &self,
        path: &str,
        table: &mut Dict,
        instance: u32,
        instances: u32,
    ) -> Result<(), SettingsError> {
        for (name, value) in table.iter_mut() {
            let key = format!("{path}.{name}");
            let refuse = |problem: String| Err(SettingsError::at(&self.place(&key), &key, &problem));
            match value {
                Value::Dict(_, inner) => self.resolve(&key, inner, instance, instances)?,
                value if name == "port" || name.ends_with("_port") => {
                    match self.port(value, instance, instances) {
                        Ok(port) => *value = Value::Num(value.tag(), Num::U16(port)),
                        Err(problem) => return refuse(problem),
                    }
                }
                Value::String(_, text) if name == "id" || name == "public_url" => {
                    if name == "id" && instances > 1 && !pattern::varies(text) {
                        let problem = format!(
                            "expected ++ where the number goes, as in \"{text}-++\": there are {instances} instances"
                        );
                        return refuse(problem);
                    }
                    let Some(expanded) = pattern::expand(text, instance) else {
                        return refuse("the number before ++ is too large".into());
                    };
                    *text = expanded;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn port(&self, value: &Value, instance: u32, instances: u32) -> Result<u16, String> {
        let written = match value {
            Value::Num(..) => u64::deserialize(value).ok().map(|number| number.to_string()),
            Value::String(_, text) => Some(text.clone()),
            _ => None,
        };
        let expected = "expected a number from 0 to 65535, or \"30001++\" for instances on ports that follow";
        let Some(written) = written else { return Err(expected.into()) };
        let base: u64 = match pattern::expand(&written, instance).and_then(|text| text.parse().ok()) {
            Some(base) => base,
            None => return Err(format!("{expected}, got {written:?}")),
        };
        if base == 0 {
            return Ok(0);
        }
        if instances > 1 && !pattern::varies(&written) {
            return Err(format!("expected \"{written}++\": there are {instances} instances"));
        }
        let offset = u64::from(self.shared.instance.port_offset);
        u16::try_from(base + offset).map_err(|_| match offset {
            0 => format!("{expected}, got {written:?}"),
            _ => format!(
                "{base} and instance.port_offset {offset} make {}, which is over 65535",
                base + offset
            ),
        })
    }

    fn read<S: DeserializeOwned>(&self, role: Role, table: Dict) -> Result<S, SettingsError> {
        S::deserialize(&Value::from(table))
            .map_err(|error| SettingsError::from_figment(role.as_str(), error, |key| self.place(key)))
    }

    /// An error whose text begins with a key (`stat.api_keys …`), with where that key stands.
    pub(crate) fn placed(&self, error: &anyhow::Error) -> SettingsError {
        let message = format!("{error:#}");
        let key = message.split([':', ' ']).next().unwrap_or_default();
        let is_key =
            key.split_once('.').is_some_and(|(table, _)| profile::tables().any(|known| known == table));
        SettingsError::plain(if is_key { format!("{}: {message}", self.place(key)) } else { message })
    }

    fn place(&self, key: &str) -> String {
        place(&self.figment, key)
    }
}

/// Where `key` stands, or the nearest table around it that stands anywhere.
fn place(figment: &Figment, key: &str) -> String {
    let mut key = key;
    loop {
        if let Some(metadata) = figment.find_metadata(key) {
            return match &metadata.source {
                Some(Source::File(path)) => path.display().to_string(),
                _ => metadata.name.to_string(),
            };
        }
        match key.rsplit_once('.') {
            Some((table, _)) => key = table,
            None => return "settings".to_owned(),
        }
    }
}

pub(crate) fn table<S: DeserializeOwned>(figment: &Figment, name: &str) -> Result<S, SettingsError> {
    let value = figment.find_value(name).unwrap_or_else(|_| Value::from(Dict::new()));
    S::deserialize(&value)
        .map_err(|error| SettingsError::from_figment(name, error, |key| place(figment, key)))
}

/// The table of the relay; what its Redis does not say is as the store's.
fn relay_table(figment: &Figment) -> Result<RelaySettings, SettingsError> {
    let dict = |key: &str| figment.find_value(key).ok().and_then(Value::into_dict);
    let mut relay = dict("relay").unwrap_or_default();
    let own = relay.remove("redis").unwrap_or_else(|| Value::from(Dict::new()));
    let own = match own {
        Value::Dict(tag, own) => {
            let mut all = dict("redis").unwrap_or_default();
            // Two ways to say the same: the nearer one counts.
            for (one, other) in [
                ("password", "password_file"),
                ("password_file", "password"),
                ("sentinel_password", "sentinel_password_file"),
                ("sentinel_password_file", "sentinel_password"),
            ] {
                if own.contains_key(one) && !own.contains_key(other) {
                    all.insert(other.to_owned(), Value::from(""));
                }
            }
            all.extend(own);
            Value::Dict(tag, all)
        }
        // It is named as wrong below.
        other => other,
    };
    relay.insert("redis".to_owned(), own);
    RelaySettings::deserialize(&Value::from(relay))
        .map_err(|error| SettingsError::from_figment("relay", error, |key| place(figment, key)))
}

fn unknown_section(variable: &Variable) -> SettingsError {
    let hint = did_you_mean(variable.section(), profile::tables()).map_or_else(
        || format!("expected one of {}", profile::tables().collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean {near}?"),
    );
    SettingsError::plain(format!(
        "environment variable {}: unknown table {:?}, {hint}",
        variable.name(),
        variable.section()
    ))
}

/// The names of the fields of a struct, as its `Deserialize` asks for them; empty for anything else.
fn fields_of<S: DeserializeOwned>() -> &'static [&'static str] {
    struct Probe<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Probe<'_> {
        type Error = ProbeError;

        fn deserialize_any<V: serde::de::Visitor<'de>>(self, _: V) -> Result<V::Value, ProbeError> {
            Err(ProbeError::custom("only asked for its fields"))
        }

        fn deserialize_struct<V: serde::de::Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, ProbeError> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields: &'static [&'static str] = &[];
    let _ = S::deserialize(Probe(&mut fields));
    fields
}
