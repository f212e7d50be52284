//! A node's life in the roster: it joins, lets the others see that it drains, and leaves.

use std::{future::Future, sync::Arc, time::Duration};

use roster::{Health, Registration, Roster, RosterError};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;
use wire::{NodeRecord, NodeState};

use crate::{Condition, NodeContext, Shutdown, node, patience};

/// How long the roster may take to be told; one that hangs must not keep a node from draining.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);

/// A newer start of the node has taken its place: this process is to end, and not to be started again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("a newer start of {id} is registered: this one ends")]
pub struct Superseded {
    /// Which node.
    pub id: Arc<str>,
}

/// A node that is registered. Dropping it leaves the roster without waiting.
pub struct Membership {
    registration: Box<dyn Registration>,
    id: Arc<str>,
    _following: tokio_util::sync::DropGuard,
}

impl Membership {
    /// Registers `record`, and waits for a roster that cannot be reached as long as it takes: the condition `roster` of
    /// the node says so. `None` where `stop` is cancelled before.
    ///
    /// # Errors
    /// A newer start of the node is registered, or the record is one that no roster takes.
    pub async fn join(
        node: &NodeContext,
        roster: &Arc<dyn Roster>,
        record: NodeRecord,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let condition = node.readiness.condition("roster", "registering");
        let attempt = || {
            let (roster, record) = (roster.clone(), record.clone());
            async move { roster.register(record).await }
        };
        let registered = patience::persist(&condition, stop, attempt).await.map_err(|error| match error {
            RosterError::Superseded { id, .. } => Superseded { id }.into(),
            other => anyhow::Error::new(other),
        });
        let Some(registration) = registered? else { return Ok(None) };
        let following = CancellationToken::new();
        node::spawn(follow(roster.health(), condition, following.clone()));
        Ok(Some(Self { registration, id: node.id.clone(), _following: following.drop_guard() }))
    }

    /// Lets the others see that this node drains; gives up after a second.
    pub async fn announce_drain(&self) {
        self.show(NodeState::Draining).await;
    }

    /// Lets the others see what this node does, also after a session that is lost later. Gives up after a second, and answers
    /// whether they could be told.
    pub async fn show(&self, state: NodeState) -> bool {
        match time::timeout(TELL_TIMEOUT, self.registration.set_state(state)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => {
                tracing::warn!(%error, ?state, "the others could not be told what this node does")
            }
            Err(_) => {
                tracing::warn!(
                    ?state,
                    "the roster does not answer: the others are not told what this node does"
                )
            }
        }
        false
    }

    /// Waits until a newer start of the node has taken the place, and says so.
    ///
    /// # Errors
    /// Always.
    pub async fn superseded(&self) -> anyhow::Result<()> {
        self.registration.superseded().cancelled().await;
        Err(Superseded { id: self.id.clone() }.into())
    }

    /// Leaves, and returns once the others can see it or it cannot be done.
    pub async fn leave(self) {
        self.registration.leave().await;
    }
}

/// Serves as a member of the cluster: runs `work` until it ends, which it does in its own time once `shutdown` is requested.
/// Meanwhile `record` is registered, whenever the roster can be reached.
///
/// # Errors
/// What `work` says, or why the node cannot be a member.
pub async fn serve_as_member(
    node: &NodeContext,
    roster: &Arc<dyn Roster>,
    record: NodeRecord,
    shutdown: &Shutdown,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let mut member = None;
    let membership = async {
        member = Membership::join(node, roster, record, &shutdown.token()).await?;
        let Some(member) = &member else { return std::future::pending().await };
        tokio::select! {
            superseded = member.superseded() => return superseded,
            () = shutdown.requested() => member.announce_drain().await,
        }
        member.superseded().await
    };
    let outcome = tokio::select! {
        done = work => done,
        ended = membership => ended,
    };
    if let Some(member) = member {
        member.leave().await;
    }
    outcome
}

/// A node that has lost the roster goes on with the last snapshot and only says so: were it red, an outage of the roster
/// would close every door of the cluster.
async fn follow(mut health: watch::Receiver<Health>, condition: Condition, stop: CancellationToken) {
    loop {
        condition.ok(match *health.borrow_and_update() {
            Health::Good => "registered".to_owned(),
            Health::Suspect { since_at } => {
                format!("out of reach since {since_at}: the last snapshot is used")
            }
        });
        tokio::select! {
            () = stop.cancelled() => return,
            changed = health.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use roster::EmbeddedRoster;
    use wire::Role;

    use super::*;

    const BUDGET: Duration = Duration::from_secs(20);

    fn detail(node: &NodeContext) -> String {
        let report = node.readiness.report();
        let roster = report.conditions.into_iter().find(|condition| condition.name == "roster");
        roster.map(|condition| condition.detail).unwrap_or_default()
    }

    #[tokio::test]
    async fn it_waits_for_the_roster_and_says_what_it_waits_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let embedded = EmbeddedRoster::open(directory.path()).await.expect("a roster");
        let roster: Arc<dyn Roster> = Arc::new(embedded.clone());
        embedded.suspect();
        let node = NodeContext::for_test(Role::Ticket, "ticket-1");
        let _listener = node.listen().await.expect("a port");
        let (trigger, shutdown) = Shutdown::new(Duration::from_secs(5));
        let serving = tokio::spawn({
            let (node, roster, shutdown) = (node.clone(), roster.clone(), shutdown.clone());
            async move {
                let work = async {
                    shutdown.requested().await;
                    Ok(())
                };
                serve_as_member(&node, &roster, node.record(NodeState::Up), &shutdown, work).await
            }
        });
        let until = async |part: &str| {
            let found = time::timeout(BUDGET, async {
                while !detail(&node).contains(part) {
                    time::sleep(Duration::from_millis(2)).await;
                }
            });
            assert!(found.await.is_ok(), "{part:?} is not in {:?}", detail(&node));
        };
        until("cannot be reached").await;
        assert!(!node.readiness.is_ready());
        embedded.recover();
        time::timeout(BUDGET, node.readiness.ready()).await.expect("it registers by itself");
        embedded.suspect();
        until("out of reach since").await;
        assert!(node.readiness.is_ready(), "an outage of the roster closes no door");
        embedded.recover();
        until("registered").await;
        trigger.request();
        serving.await.expect("no panic").expect("it ends well");
        assert!(roster.watch().borrow().get(Role::Ticket, "ticket-1").is_none(), "it has left");
    }
}
