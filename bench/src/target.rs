//! Which server is measured, and where its users sit.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::{door::Door, servers::Process};

/// So many more users than needed are tried before a cluster counts as one of a single node.
const TRIES_BEYOND: usize = 64;

/// What is measured.
#[derive(Debug, Clone, Args)]
pub struct TargetOptions {
    /// What kind of server it is.
    #[arg(long, value_enum, default_value_t = Kind::Phalanx)]
    pub target: Kind,
    /// Phalanx: where tickets are had. Plain servers: each server, may be repeated. Default: http://127.0.0.1:20000
    #[arg(long = "url", value_name = "URL")]
    pub urls: Vec<String>,
    /// Phalanx: the business API, which makes groups.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50100")]
    pub api_url: String,
    /// Phalanx: what opens the business API.
    #[arg(
        long,
        value_name = "KEY",
        env = "PHALANX_BENCH_API_KEY",
        default_value = "dev-api-key",
        hide_env_values = true
    )]
    pub api_key: String,
    /// Phalanx: signs the users' tokens (HS256). Default: an embedded cluster makes tokens itself.
    #[arg(long, value_name = "SECRET", env = "PHALANX_BENCH_TOKEN_SECRET", hide_env_values = true)]
    pub token_secret: Option<String>,
    /// A process of the server, Redis included, as NAME=PID or PID; may be repeated.
    #[arg(long = "pid", value_name = "NAME=PID")]
    pub servers: Vec<Process>,
    /// What the server is called in the results.
    #[arg(long, value_name = "NAME", default_value = "phalanx")]
    pub label: String,
    /// Add the results to this file, a line of JSON each; `phalanx-bench table` reads it.
    #[arg(long, value_name = "FILE")]
    pub results: Option<std::path::PathBuf>,
}

/// Kinds of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A running cluster of Phalanx.
    Phalanx,
    /// A plain Socket.IO server: `auth` is `{user, groups}`.
    Socketio,
}

/// A server that users can be seated on.
#[derive(Debug)]
pub enum Target {
    /// A cluster of Phalanx, which chooses the node itself.
    Phalanx(Door),
    /// Plain servers, chosen by turns.
    Plain {
        /// Each server's `host:port`.
        addresses: Vec<String>,
    },
}

/// What one user needs to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The user.
    pub user: String,
    /// `host:port`.
    pub address: String,
    /// The JSON of `auth`.
    pub auth: String,
    /// The node that it is on.
    pub node: String,
    /// Whether the connection counts only once the server has emitted `ready`.
    pub waits_for_ready: bool,
}

impl Target {
    /// The target that the options name.
    #[must_use]
    pub fn new(options: &TargetOptions) -> Self {
        match options.target {
            Kind::Phalanx => {
                let url = options.urls.first().map_or("http://127.0.0.1:20000", String::as_str);
                let secret = options.token_secret.as_deref();
                Self::Phalanx(Door::new(url, &options.api_url, &options.api_key, secret))
            }
            Kind::Socketio if options.urls.is_empty() => {
                Self::Plain { addresses: vec!["127.0.0.1:20000".to_owned()] }
            }
            Kind::Socketio => Self::Plain { addresses: options.urls.iter().map(|url| host(url)).collect() },
        }
    }

    /// A seat for a user, who is in these groups. Plain servers are chosen by `turn`.
    ///
    /// # Errors
    /// What the server answered instead.
    pub async fn seat(&self, user: &str, groups: &[String], turn: usize) -> anyhow::Result<Seat> {
        match self {
            Self::Phalanx(door) => {
                let ticket = door.ticket(user).await?;
                Ok(Seat {
                    user: user.to_owned(),
                    address: host(&ticket.spear.url),
                    auth: json!({"ticket": ticket.ticket}).to_string(),
                    node: ticket.spear.id,
                    waits_for_ready: true,
                })
            }
            Self::Plain { addresses } => {
                let address = &addresses[turn % addresses.len()];
                Ok(Seat {
                    user: user.to_owned(),
                    address: address.clone(),
                    auth: json!({"user": user, "groups": groups}).to_string(),
                    node: address.clone(),
                    waits_for_ready: false,
                })
            }
        }
    }

    /// Makes a group with these members, where groups are made before one connects.
    ///
    /// # Errors
    /// What the server answered instead.
    pub async fn make_group(&self, group: &str, members: &[String]) -> anyhow::Result<()> {
        match self {
            Self::Phalanx(door) => door.make_group(group, members).await,
            Self::Plain { .. } => Ok(()),
        }
    }

    /// Whether it has rooms: one that has none takes the groups of a seat for rooms.
    #[must_use]
    pub fn has_rooms(&self) -> bool {
        matches!(self, Self::Phalanx(_))
    }

    /// Seats for so many pairs of users, each on two nodes where there is more than one.
    ///
    /// # Errors
    /// What the server answered instead of a seat.
    pub async fn pairs(&self, prefix: &str, count: usize) -> anyhow::Result<Vec<(Seat, Seat)>> {
        let mut matching = Matching::default();
        let mut turn = 0;
        while matching.pairs.len() < count {
            matching.add(self.seat(&format!("{prefix}-{turn}"), &[], turn).await?);
            turn += 1;
            if matching.pairs.is_empty() && turn >= 2 * count + TRIES_BEYOND {
                matching.pair_on_one_node(count);
            }
        }
        Ok(matching.pairs)
    }
}

/// Seats on different nodes become pairs.
#[derive(Debug, Default)]
struct Matching {
    pairs: Vec<(Seat, Seat)>,
    /// By their node; never more than one of them has any.
    single: BTreeMap<String, Vec<Seat>>,
}

impl Matching {
    fn add(&mut self, seat: Seat) {
        let elsewhere = self.single.iter_mut().find(|(node, seats)| **node != seat.node && !seats.is_empty());
        match elsewhere.and_then(|(_, seats)| seats.pop()) {
            // By turns, so that every node has as many who send.
            Some(other) if self.pairs.len().is_multiple_of(2) => self.pairs.push((other, seat)),
            Some(other) => self.pairs.push((seat, other)),
            None => self.single.entry(seat.node.clone()).or_default().push(seat),
        }
    }

    fn pair_on_one_node(&mut self, count: usize) {
        let mut seats = std::mem::take(&mut self.single).into_values().flatten();
        while self.pairs.len() < count {
            let (Some(one), Some(other)) = (seats.next(), seats.next()) else { return };
            self.pairs.push((one, other));
        }
    }
}

fn host(url: &str) -> String {
    url.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(count: usize) -> Target {
        Target::Plain { addresses: (0..count).map(|number| format!("127.0.0.1:{number}")).collect() }
    }

    #[tokio::test]
    async fn pairs_are_on_two_nodes_where_there_are_two() {
        let pairs = plain(2).pairs("p", 20).await.expect("seats");
        assert_eq!(pairs.len(), 20);
        assert!(pairs.iter().all(|(one, other)| one.node != other.node && one.user != other.user));
        let of_the_first = pairs.iter().filter(|(one, _)| one.node == pairs[0].0.node).count();
        assert_eq!(of_the_first, 10, "each node has half of the senders");
    }

    #[tokio::test]
    async fn pairs_are_on_one_node_where_there_is_one() {
        let pairs = plain(1).pairs("p", 20).await.expect("seats");
        assert_eq!(pairs.len(), 20);
        assert!(pairs.iter().all(|(one, other)| one.user != other.user));
    }

    #[test]
    fn an_address_is_host_and_port() {
        assert_eq!(host("http://127.0.0.1:30001/"), "127.0.0.1:30001");
        assert_eq!(host("localhost:30001"), "localhost:30001");
    }
}
