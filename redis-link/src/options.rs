//! Which Redis, and how long to wait for it.

use std::{fmt, time::Duration};

use crate::{LinkError, Tls};

/// How the servers work together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One server.
    Single,
    /// A primary that sentinels watch and replace; the servers of the options are the sentinels.
    Sentinel,
    /// A Redis Cluster; the servers of the options are some of its nodes, the others are learned from them.
    Cluster,
}

/// Which Redis, and how long to wait for it. Redis 7 or newer.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// How the servers work together.
    pub mode: Mode,
    /// `host:port` each: exactly one in [`Mode::Single`], at least one otherwise.
    pub servers: Vec<String>,
    /// What the sentinels call the primary; used in [`Mode::Sentinel`] only.
    pub primary_name: String,
    /// Whether what replicas have confirmed counts only while the sentinels are known not to replace the primary; used in
    /// [`Mode::Sentinel`] only.
    pub lease: bool,
    /// TLS to every server and every sentinel; `None`: none to any.
    pub tls: Option<Tls>,
    /// The user to log in as; empty: Redis's default user.
    pub user: String,
    /// Empty: no logging in.
    pub password: String,
    /// The user to log in as at the sentinels; empty: their default user.
    pub sentinel_user: String,
    /// Empty: no logging in at the sentinels.
    pub sentinel_password: String,
    /// The number of the database; 0 in a cluster.
    pub database: u8,
    /// How long one attempt to connect may take, logging in and the check of the role included.
    pub connect_timeout: Duration,
    /// How long a [`Link::run`](crate::Link::run) may take in all; at least `connect_timeout`.
    pub response_timeout: Duration,
    /// How long a run that met a server without room waits for some, beyond its `response_timeout`; 0: it fails at once.
    pub full_timeout: Duration,
}

impl Default for RedisOptions {
    /// One server on this machine without a password; 1 s to connect, 2 s to answer, 2 s for room.
    fn default() -> Self {
        Self {
            mode: Mode::Single,
            servers: vec!["127.0.0.1:6379".into()],
            primary_name: "mymaster".into(),
            lease: true,
            tls: None,
            user: String::new(),
            password: String::new(),
            sentinel_user: String::new(),
            sentinel_password: String::new(),
            database: 0,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
            full_timeout: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("mode", &self.mode)
            .field("servers", &self.servers)
            .field("primary_name", &self.primary_name)
            .field("lease", &self.lease)
            .field("tls", &self.tls.is_some())
            .field("user", &self.user)
            .field("sentinel_user", &self.sentinel_user)
            .field("database", &self.database)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("full_timeout", &self.full_timeout)
            .finish_non_exhaustive()
    }
}

impl RedisOptions {
    /// Whether they fit together.
    pub(crate) fn check(&self) -> Result<(), LinkError> {
        let wrong = |what: String| Err(LinkError::Options(what));
        for server in &self.servers {
            if host_and_port(server).is_none() {
                return wrong(format!("{server:?} is no host:port"));
            }
        }
        match self.mode {
            Mode::Single if self.servers.len() != 1 => {
                return wrong(
                    "a single Redis has exactly one server; for more, say sentinel or cluster".into(),
                );
            }
            _ if self.servers.is_empty() => return wrong("name at least one server".into()),
            Mode::Sentinel if self.primary_name.is_empty() => {
                return wrong("say what the sentinels call the primary".into());
            }
            Mode::Cluster if self.database != 0 => return wrong("a cluster has database 0 only".into()),
            _ => {}
        }
        if self.connect_timeout.is_zero() || self.response_timeout < self.connect_timeout {
            return wrong(format!(
                "the time to connect ({:?}) must be above 0 and not above the time to answer ({:?})",
                self.connect_timeout, self.response_timeout
            ));
        }
        Ok(())
    }
}

/// Takes `host:port` apart; an IPv6 address stands in brackets.
pub(crate) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty()).then_some((host, port))
}

/// The opposite of [`host_and_port`].
pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passwords_stay_out_of_debug() {
        let options = RedisOptions {
            password: "secret".into(),
            sentinel_password: "secret too".into(),
            ..RedisOptions::default()
        };
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let fine = RedisOptions::default();
        let cluster = RedisOptions { mode: Mode::Cluster, ..fine.clone() };
        assert!(fine.check().is_ok() && cluster.check().is_ok());
        let two = vec!["a:1".to_owned(), "b:2".to_owned()];
        let wrong = [
            RedisOptions { servers: two, ..fine.clone() },
            RedisOptions { servers: vec![], ..cluster.clone() },
            RedisOptions { servers: vec!["redis".into()], ..fine.clone() },
            RedisOptions { database: 1, ..cluster },
            RedisOptions { mode: Mode::Sentinel, primary_name: String::new(), ..fine.clone() },
            RedisOptions { connect_timeout: Duration::from_secs(5), ..fine.clone() },
            RedisOptions { connect_timeout: Duration::ZERO, ..fine },
        ];
        for options in wrong {
            assert!(matches!(options.check(), Err(LinkError::Options(_))), "{options:?}");
        }
    }

    #[test]
    fn addresses_are_taken_apart_and_put_together() {
        for (text, parts) in [("127.0.0.1:6379", ("127.0.0.1", 6379)), ("[::1]:7000", ("::1", 7000))] {
            assert_eq!(host_and_port(text), Some(parts));
            assert_eq!(address(parts.0, parts.1), text);
        }
        for text in ["", ":1", "host", "host:", "host:0", "host:70000"] {
            assert_eq!(host_and_port(text), None, "{text}");
        }
    }
}
