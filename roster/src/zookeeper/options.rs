//! How to reach ZooKeeper.

use std::{fmt, time::Duration};

use crate::{
    RosterError,
    path::{check_part, check_path},
};

/// The shortest session time-out: a connection has two fifths of it to come about.
const SHORTEST: Duration = Duration::from_millis(500);

/// How to reach ZooKeeper, and where the cluster lies in it.
#[derive(Clone)]
pub struct ZooKeeperOptions {
    /// `host:port` of each server of the ensemble; at least one.
    pub servers: Vec<String>,
    /// The path below which everything lies, or nothing; it is made at the first connection if it is missing.
    pub chroot: String,
    /// The cluster's own path below [`ZooKeeperOptions::chroot`].
    pub root: String,
    /// How long a node that stopped answering stays in the roster. The server may grant another time, within its own
    /// bounds (2 to 20 of its ticks by default).
    pub session_timeout: Duration,
    /// Whom to be, by digest authentication; nobody where it is empty. What somebody creates is for that identity only,
    /// what nobody creates is open to all.
    pub user: String,
    /// That user's password.
    pub password: String,
    /// How long one operation may take, the wait for a connection included.
    pub operation_timeout: Duration,
}

impl Default for ZooKeeperOptions {
    fn default() -> Self {
        Self {
            servers: vec!["127.0.0.1:2181".into()],
            chroot: String::new(),
            root: "/phalanx".into(),
            session_timeout: Duration::from_secs(6),
            user: String::new(),
            password: String::new(),
            operation_timeout: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for ZooKeeperOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperOptions")
            .field("servers", &self.servers)
            .field("chroot", &self.chroot)
            .field("root", &self.root)
            .field("session_timeout", &self.session_timeout)
            .field("user", &self.user)
            .field("password", &"***")
            .field("operation_timeout", &self.operation_timeout)
            .finish()
    }
}

impl ZooKeeperOptions {
    pub(super) fn check(&self) -> Result<(), RosterError> {
        let invalid = |why: String| Err(RosterError::Invalid(why));
        if self.servers.is_empty() {
            return invalid("servers: name at least one ZooKeeper server as host:port".into());
        }
        for server in &self.servers {
            let parts = server.rsplit_once(':');
            let port = parts.and_then(|(_, port)| port.parse::<u16>().ok()).filter(|port| *port > 0);
            let host = parts.map_or("", |(host, _)| host);
            if port.is_none() || host.is_empty() || host.contains([',', '/', ' ']) {
                return invalid(format!("servers: {server:?} must be host:port"));
            }
        }
        if !self.chroot.is_empty() {
            check_path(&self.chroot)?;
        }
        check_path(&self.root)?;
        if !self.user.is_empty() {
            check_part(&self.user.replace(':', "/"))?;
        }
        if self.user.is_empty() != self.password.is_empty() {
            return invalid("user and password: give both, or neither".into());
        }
        let longest = Duration::from_millis(i32::MAX.unsigned_abs().into());
        if self.session_timeout < SHORTEST || self.session_timeout > longest {
            return invalid("session_timeout: must be from 500 ms to 24 days".into());
        }
        if self.operation_timeout.is_zero() {
            return invalid("operation_timeout: must be above 0".into());
        }
        Ok(())
    }

    /// All servers, as the client takes them.
    pub(super) fn cluster(&self) -> String {
        self.servers.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_at_once() {
        let good = ZooKeeperOptions::default;
        assert!(good().check().is_ok());
        let bad = [
            ZooKeeperOptions { servers: vec![], ..good() },
            ZooKeeperOptions { servers: vec!["localhost".into()], ..good() },
            ZooKeeperOptions { servers: vec!["a:1,b:2".into()], ..good() },
            ZooKeeperOptions { servers: vec!["a:0".into()], ..good() },
            ZooKeeperOptions { chroot: "/".into(), ..good() },
            ZooKeeperOptions { root: String::new(), ..good() },
            ZooKeeperOptions { user: "a".into(), ..good() },
            ZooKeeperOptions { password: "b".into(), ..good() },
            ZooKeeperOptions { user: "a:b".into(), password: "c".into(), ..good() },
            ZooKeeperOptions { session_timeout: Duration::ZERO, ..good() },
            ZooKeeperOptions { operation_timeout: Duration::ZERO, ..good() },
        ];
        for options in bad {
            assert!(matches!(options.check(), Err(RosterError::Invalid(_))), "{options:?}");
        }
    }

    #[test]
    fn a_password_does_not_show() {
        let options =
            ZooKeeperOptions { user: "phalanx".into(), password: "secret".into(), ..Default::default() };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
