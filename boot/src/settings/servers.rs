//! The tables of servers that are not ours: ZooKeeper and Redis.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use setting::{Fault, Secret, addresses, between, both_or_neither};

/// `[zookeeper]`: where it is, and who we are there.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZooKeeperSettings {
    /// `host:port` of each server of the ensemble.
    pub servers: Vec<String>,
    /// A path below which ZooKeeper shows us everything; empty: none.
    pub chroot: String,
    /// Below which path everything of the cluster is kept.
    pub root: String,
    /// How long a node that does not answer stays in the roster, in milliseconds.
    pub session_timeout_ms: u64,
    /// For digest authentication; empty: none.
    pub user: String,
    /// With `user`.
    pub password: Secret,
}

/// `[redis]`: where it is, and how careful to be; `[relay.redis]`: another one for the relay.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// How it is set up.
    pub mode: RedisMode,
    /// `host:port`: the server; or the Sentinels; or some servers of the cluster.
    pub servers: Vec<String>,
    /// How the Sentinels call the primary.
    pub primary_name: String,
    /// Whether a message is acknowledged only while the Sentinels are known not to replace the primary.
    pub sentinel_lease: bool,
    /// The user; empty: the default one.
    pub user: String,
    /// The password; empty: none, or that of `password_file`.
    pub password: Secret,
    /// A file that holds it; whitespace around it does not count.
    pub password_file: PathBuf,
    /// Who we are for the Sentinels; empty: the default user.
    pub sentinel_user: String,
    /// With the Sentinels; empty: none, or that of `sentinel_password_file`.
    pub sentinel_password: Secret,
    /// A file that holds it; whitespace around it does not count.
    pub sentinel_password_file: PathBuf,
    /// Whether connections are encrypted, and who is trusted there.
    #[serde(default)]
    pub tls: RedisTlsSettings,
    /// Which database; 0 in a cluster.
    pub database: u8,
    /// What every key and channel begins with.
    pub key_prefix: String,
    /// How long a call may take, in milliseconds.
    pub response_timeout_ms: u64,
    /// How long a write waits for room in a server that is full, in milliseconds; 0: not at all.
    pub full_timeout_ms: u64,
    /// How many replicas must hold what is acknowledged; above 0 reads are fenced too.
    pub wait_replicas: u32,
    /// How long they may take, in milliseconds.
    pub wait_timeout_ms: u64,
}

/// `[redis.tls]`: the connections to its servers, and to its Sentinels.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisTlsSettings {
    /// Whether there is any.
    pub enabled: bool,
    /// The certificates that sign the servers' own (PEM); empty: those that the system trusts.
    pub ca_file: PathBuf,
    /// Our certificate (PEM); empty: none.
    pub certificate_file: PathBuf,
    /// Its private key (PEM).
    pub key_file: PathBuf,
}

/// How Redis is set up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisMode {
    /// One server.
    #[default]
    Single,
    /// A primary with replicas, found through Sentinels.
    Sentinel,
    /// Redis Cluster.
    Cluster,
}

impl ZooKeeperSettings {
    /// The first fault, where there is one.
    pub(super) fn check(&self) -> Result<(), Fault> {
        addresses("servers", &self.servers)?;
        if !self.chroot.is_empty() && !is_path(&self.chroot) {
            return Err((
                "chroot",
                format!("expected nothing, or a path such as \"/teams/chat\", got {:?}", self.chroot),
            ));
        }
        if !is_path(&self.root) {
            return Err(("root", format!("expected a path such as \"/phalanx\", got {:?}", self.root)));
        }
        between("session_timeout_ms", self.session_timeout_ms, 1000, 60_000)?;
        if self.user.contains(':') {
            return Err(("user", "expected a name without a colon".into()));
        }
        if self.user.is_empty() != self.password.is_empty() {
            return Err(("password", both_or_neither("ZOOKEEPER")));
        }
        Ok(())
    }
}

impl RedisSettings {
    /// The first fault, where there is one. `variable` is what the environment calls the table.
    pub(super) fn check(&self, variable: &str) -> Result<(), Fault> {
        addresses("servers", &self.servers)?;
        if self.mode == RedisMode::Sentinel && self.primary_name.is_empty() {
            return Err((
                "primary_name",
                "expected the name under which the Sentinels know the primary".into(),
            ));
        }
        if self.mode == RedisMode::Cluster && self.database != 0 {
            return Err((
                "database",
                format!("expected 0: a Redis Cluster has no other, got {}", self.database),
            ));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.:@-".contains(c);
        if self.key_prefix.is_empty() || !self.key_prefix.chars().all(plain) {
            return Err((
                "key_prefix",
                format!("expected one or more of A-Z a-z 0-9 _ . : @ -, got {:?}", self.key_prefix),
            ));
        }
        let (password, file) = (&self.password, &self.password_file);
        one_password("password", &self.user, password, file, variable)?;
        let (password, file) = (&self.sentinel_password, &self.sentinel_password_file);
        one_password("sentinel_password", &self.sentinel_user, password, file, variable)?;
        self.tls.check()?;
        between("response_timeout_ms", self.response_timeout_ms, 100, 60_000)
    }

    /// The first fault in what is about storing.
    pub(super) fn check_storing(&self) -> Result<(), Fault> {
        between("full_timeout_ms", self.full_timeout_ms, 0, 60_000)?;
        between("wait_replicas", u64::from(self.wait_replicas), 0, 8)?;
        // Redis answers a WAIT only when its time is over, so the call must be able to last that long.
        between("wait_timeout_ms", self.wait_timeout_ms, 1, self.response_timeout_ms - 1)
    }
}

impl RedisTlsSettings {
    fn check(&self) -> Result<(), Fault> {
        let files = [
            ("tls.ca_file", &self.ca_file),
            ("tls.certificate_file", &self.certificate_file),
            ("tls.key_file", &self.key_file),
        ];
        // Whoever names a file believes that it is used.
        if let Some((key, _)) = files.into_iter().find(|(_, file)| !self.enabled && is_set(file)) {
            return Err((key, "expected none: tls.enabled is false".into()));
        }
        match (is_set(&self.certificate_file), is_set(&self.key_file)) {
            (true, false) => Err(("tls.key_file", "expected the key of tls.certificate_file".into())),
            (false, true) => Err(("tls.certificate_file", "expected the certificate of tls.key_file".into())),
            _ => Ok(()),
        }
    }
}

fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

fn one_password(
    key: &'static str,
    user: &str,
    password: &Secret,
    file: &Path,
    variable: &str,
) -> Result<(), Fault> {
    if !password.is_empty() && is_set(file) {
        return Err((key, format!("expected it either here or in {key}_file")));
    }
    if !user.is_empty() && password.is_empty() && !is_set(file) {
        let problem = format!(
            "expected user and password both, or neither: set it in the environment, PHALANX__{variable}__{}, or \
             name a file in {key}_file",
            key.to_ascii_uppercase()
        );
        return Err((key, problem));
    }
    Ok(())
}

fn is_path(text: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part))
}
