//! The live nodes of one role, each with a channel that is kept.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rand::seq::SliceRandom as _;
use roster::{Roster, Snapshot};
use tokio::sync::watch;
use tonic::{
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use wire::{NodeRecord, NodeRef, NodeState, Role};

use crate::secret::{Secret, ShowSecret};

/// A host that does not answer is given up after this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a connection is asked for a sign of life, idle ones too; and how long the answer may take. A peer that
/// vanished without a word is so noticed within 7 s; calls have deadlines of their own below that.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A channel that shows the cluster secret with every call. Cheap to clone.
pub type PeerChannel = InterceptedService<Channel, ShowSecret>;

/// A live node, and how to call it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Which incarnation of which node.
    pub node: NodeRef,
    /// Connects at its first call, and again by itself after it broke.
    pub channel: PeerChannel,
}

/// One lazy channel for each live incarnation of a role. Those that left the roster are dropped at the next look.
#[derive(Debug)]
pub struct Channels {
    role: Role,
    secret: ShowSecret,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    /// At most one entry a live node of the role.
    kept: Mutex<HashMap<NodeRef, PeerChannel>>,
}

impl Channels {
    /// The nodes of `role`, found through `roster`.
    pub fn new(roster: &dyn Roster, role: Role, secret: &Secret) -> Self {
        Self { role, secret: ShowSecret::new(secret), snapshot: roster.watch(), kept: Mutex::default() }
    }

    /// The live nodes now: `preferred` first, those that drain last, else by id.
    pub fn peers(&self, preferred: Option<&NodeRef>) -> Vec<Peer> {
        self.sorted(preferred, |records| records.sort_by(|one, other| one.id.cmp(&other.id)))
    }

    /// The same, but by chance instead of by id: callers spread over nodes that serve alike.
    pub fn peers_by_chance(&self, preferred: Option<&NodeRef>) -> Vec<Peer> {
        self.sorted(preferred, |records| records.shuffle(&mut rand::rng()))
    }

    fn sorted(&self, preferred: Option<&NodeRef>, order: impl FnOnce(&mut [&Arc<NodeRecord>])) -> Vec<Peer> {
        let snapshot = self.snapshot.borrow().clone();
        let mut records: Vec<_> = snapshot.of_role(self.role).collect();
        order(&mut records);
        records.sort_by_key(|record| {
            (Some(&record.node_ref()) != preferred, record.state == NodeState::Draining)
        });
        let mut kept = self.kept.lock();
        kept.retain(|node, _| snapshot.holds(self.role, node));
        records.into_iter().filter_map(|record| self.peer(&mut kept, record)).collect()
    }

    /// Told whenever nodes come and go.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    fn peer(&self, kept: &mut HashMap<NodeRef, PeerChannel>, record: &NodeRecord) -> Option<Peer> {
        let node = record.node_ref();
        if let Some(channel) = kept.get(&node) {
            return Some(Peer { node, channel: channel.clone() });
        }
        match endpoint(record) {
            Ok(endpoint) => {
                let channel = InterceptedService::new(endpoint.connect_lazy(), self.secret.clone());
                kept.insert(node.clone(), channel.clone());
                Some(Peer { node, channel })
            }
            Err(error) => {
                tracing::warn!(node = %node, host = record.host, %error, "a node registered an address that cannot be called");
                None
            }
        }
    }
}

fn endpoint(record: &NodeRecord) -> Result<Endpoint, tonic::transport::Error> {
    let host = if record.host.contains(':') { format!("[{}]", record.host) } else { record.host.clone() };
    Ok(Endpoint::from_shared(format!("http://{host}:{}", record.port))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use roster::EmbeddedRoster;
    use wire::Incarnation;

    fn record(id: &str, incarnation: u64, state: NodeState) -> NodeRecord {
        NodeRecord {
            id: id.into(),
            role: Role::Idgen,
            incarnation: Incarnation(incarnation),
            host: "127.0.0.1".into(),
            port: 1,
            public_url: String::new(),
            admin_url: String::new(),
            weight: 1,
            state,
            version: "test".into(),
            started_at: 0,
        }
    }

    fn ids(peers: &[Peer]) -> Vec<String> {
        peers.iter().map(|peer| peer.node.to_string()).collect()
    }

    #[tokio::test]
    async fn channels_follow_the_roster() {
        let directory = tempfile::tempdir().expect("a directory");
        let roster = EmbeddedRoster::open(directory.path()).await.expect("a roster");
        let channels = Channels::new(&roster, Role::Idgen, &Secret::new("s"));
        assert!(channels.peers(None).is_empty());

        let first = roster.register(record("a", 1, NodeState::Draining)).await.expect("registered");
        let _second = roster.register(record("b", 1, NodeState::Up)).await.expect("registered");
        assert_eq!(ids(&channels.peers(None)), ["b/1", "a/1"], "who drains comes last");
        let preferred = NodeRef { id: "a".into(), incarnation: Incarnation(1) };
        assert_eq!(ids(&channels.peers(Some(&preferred))), ["a/1", "b/1"]);
        assert_eq!(channels.kept.lock().len(), 2);

        first.leave().await;
        let _again = roster.register(record("a", 2, NodeState::Up)).await.expect("registered");
        assert_eq!(ids(&channels.peers(Some(&preferred))), ["a/2", "b/1"]);
        assert_eq!(channels.kept.lock().len(), 2, "the old incarnation's channel is dropped");
    }
}
