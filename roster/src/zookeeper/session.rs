//! The life of the session: connected, disconnected, expired, and the next one.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use zookeeper_client::{Client, SessionState};

use super::{
    ZooKeeperOptions,
    core::{Connection, Core},
    nodes,
    pause::Pause,
};
use crate::Snapshot;

/// Keeps a session until the roster ends; with it everything that belongs to the session ends too.
pub(super) async fn run(core: Arc<Core>, options: ZooKeeperOptions) {
    let options = Arc::new(options);
    loop {
        let (own, options) = (core.clone(), options.clone());
        let task = tokio::spawn(async move {
            own.ended.run_until_cancelled(sessions(&own, &options)).await;
        });
        let ended = task.await;
        core.disconnect();
        match ended {
            // A roster that follows nothing any more, and does not say so, would be worse.
            Err(error) if error.is_panic() => {
                tracing::error!("following ZooKeeper has panicked; another session begins");
            }
            _ => return,
        }
    }
}

async fn sessions(core: &Core, options: &ZooKeeperOptions) {
    // The client's own pauses grow without a useful bound, so it tries each server once and the rest is ours.
    let mut connector = Client::connector().with_session_timeout(options.session_timeout).with_fail_eagerly();
    if !options.user.is_empty() {
        connector =
            connector.with_auth("digest", format!("{}:{}", options.user, options.password).as_bytes());
    }
    // A restarted ZooKeeper gives the old sessions their whole time once more. Whoever is back before that replaces its own
    // nodes without a gap, so that the others never see a cluster that is half empty.
    let (cluster, mut pause) = (options.cluster(), Pause::up_to(options.session_timeout / 4));
    // Kept over sessions: it is shown until the next listing is complete.
    let mut shown = Snapshot::default();
    let mut told = false;
    loop {
        match connector.clone().connect(&cluster).await {
            Ok(client) => {
                told = false;
                let number = core.serial();
                greet(core, options, &client, number);
                serve(core, client, number, &mut shown).await;
            }
            Err(error) => {
                metrics::counter!("phalanx_roster_failed_connects_total").increment(1);
                // Once is enough, for as long as it lasts.
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, servers = cluster, "ZooKeeper cannot be reached; trying on");
                }
            }
        }
        pause.wait().await;
    }
}

fn greet(core: &Core, options: &ZooKeeperOptions, client: &Client, number: u64) {
    let granted = client.session_timeout();
    metrics::counter!("phalanx_roster_sessions_total").increment(1);
    tracing::info!(session = %client.session_id(), number, ?granted, "a session with ZooKeeper has begun");
    if granted != options.session_timeout {
        let asked = options.session_timeout;
        tracing::warn!(
            ?asked,
            ?granted,
            "ZooKeeper grants another session time-out; set this one, or its ticks"
        );
    }
    core.granted(granted);
}

/// Follows one session until it has expired.
async fn serve(core: &Core, client: Client, session: u64, shown: &mut Snapshot) {
    let mut states = client.state_watcher();
    let mut state = states.peek_state();
    loop {
        match state {
            SessionState::SyncConnected => {
                let lost = CancellationToken::new();
                let connection = Arc::new(Connection { client: client.clone(), session, lost });
                core.connect(connection.clone());
                // Following never ends by itself. A change that passed unseen counts as a loss too.
                tokio::select! {
                    biased;
                    next = states.changed() => state = next,
                    () = nodes::follow(core, &connection, shown) => {}
                }
                core.disconnect();
            }
            SessionState::Disconnected | SessionState::ConnectedReadOnly => {
                tracing::warn!("the connection to ZooKeeper is lost; the session goes on for a while");
                state = states.changed().await;
            }
            SessionState::AuthFailed => {
                tracing::error!("ZooKeeper refuses user and password");
                return;
            }
            SessionState::Expired | SessionState::Closed => {
                tracing::warn!(%state, "the session with ZooKeeper has ended; the next one registers everything again");
                return;
            }
        }
    }
}
