//! The snapshot: listed once a connection, then only what events name is read.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{FutureExt as _, future};
use wire::{NodeRecord, Role};
use zookeeper_client::{AddWatchMode, Client, Error, EventType, MultiReadResult, PersistentWatcher};

use super::{
    core::{Connection, Core},
    pause::Pause,
};
use crate::Snapshot;

/// The most nodes in one request, so that its answer stays far below the largest packet of ZooKeeper.
const READ_MAX: usize = 64;

/// The most nodes that are taken from the queue of events before they are read; the rest waits for the next round.
const ROUND_MAX: usize = 1_024;

/// Between two rounds: what many nodes do at once is read by each process in few requests. The first event after a quiet
/// time is read at once.
const ROUND_PAUSE: Duration = Duration::from_millis(20);

/// After an outage a whole cluster comes back, and everybody lists everybody: over this part of a session time-out, but
/// no longer than [`SPREAD_MAX`]. Places are taken again before that: it is the listing that costs.
const SPREAD_PART: u64 = 8;

const SPREAD_MAX: Duration = Duration::from_secs(1);

/// Keeps the snapshot current; ends only with the connection, by being dropped.
pub(super) async fn follow(core: &Core, connection: &Connection, shown: &mut Snapshot) {
    let mut pause = Pause::default();
    // Who lists for the first time shows nothing yet, and somebody waits for it.
    if *shown != Snapshot::default() {
        let spread = Duration::from_millis(core.session_timeout_ms() / SPREAD_PART).min(SPREAD_MAX);
        tokio::time::sleep(spread.mul_f64(rand::random_range(0.0..=1.0))).await;
    }
    loop {
        if let Err(error) = watch(core, &connection.client, shown).await {
            tracing::warn!(%error, "the nodes cannot be watched; the next attempt follows");
        }
        pause.wait().await;
    }
}

/// A watch of this connection's own, set before the listing: the client does not bring persistent watches over to the
/// next connection, and the server would not send what happened in between (ZOOKEEPER-4698).
async fn watch(core: &Core, client: &Client, shown: &mut Snapshot) -> Result<(), Error> {
    core.make(client, core.layout.nodes()).await?;
    let mut events = client.watch(core.layout.nodes(), AddWatchMode::PersistentRecursive).await?;
    // Shown only when it is whole.
    *shown = list(core, client).await?;
    publish(core, shown);
    core.standing.listed();
    while let Some(changed) = round(&mut events).await {
        let keys = changed.iter().filter_map(|path| Some((path.as_str(), core.layout.key(path)?)));
        let (paths, keys): (Vec<_>, Vec<_>) = keys.unzip();
        for ((role, id), record) in keys.into_iter().zip(read(core, client, &paths).await?) {
            match record {
                Some(record) => shown.insert(record),
                None => shown.remove(role, id),
            }
        }
        publish(core, shown);
        tokio::time::sleep(ROUND_PAUSE.mul_f64(rand::random_range(0.5..=1.0))).await;
    }
    Ok(())
}

/// The paths that all waiting events name, each once; nothing once the connection has changed.
///
/// What was deleted is read too: a registration that replaces another one deletes and creates in one transaction.
async fn round(events: &mut PersistentWatcher) -> Option<BTreeSet<String>> {
    let mut paths = BTreeSet::new();
    let mut next = Some(events.changed().await);
    while let Some(event) = next {
        if event.event_type == EventType::Session {
            return None;
        }
        paths.insert(event.path);
        next = if paths.len() < ROUND_MAX { events.changed().now_or_never() } else { None };
    }
    Some(paths)
}

async fn list(core: &Core, client: &Client) -> Result<Snapshot, Error> {
    metrics::counter!("phalanx_roster_listings_total").increment(1);
    let found = client.list_children(core.layout.nodes()).await?;
    let known: Vec<Role> = found.iter().filter_map(|name| name.parse().ok()).collect();
    let folders: Vec<String> = known.iter().map(|role| core.layout.role(*role)).collect();
    let listed = future::try_join_all(folders.iter().map(|folder| client.list_children(folder))).await?;
    let paths: Vec<String> = (known.iter().zip(listed))
        .flat_map(|(role, ids)| ids.into_iter().map(|id| core.layout.node(*role, &id)))
        .collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    Ok(Snapshot::new(read(core, client, &paths).await?.into_iter().flatten()))
}

/// Reads nodes; none for one that is not there or cannot be understood.
async fn read(core: &Core, client: &Client, paths: &[&str]) -> Result<Vec<Option<NodeRecord>>, Error> {
    let mut records = Vec::with_capacity(paths.len());
    for chunk in paths.chunks(READ_MAX) {
        let mut reader = client.new_multi_reader();
        for path in chunk {
            reader.add_get_data(path)?;
        }
        let answers = reader.commit().await?;
        metrics::counter!("phalanx_roster_reads_total").increment(chunk.len() as u64);
        records.extend(chunk.iter().zip(answers).map(|(path, answer)| understand(core, path, answer)));
    }
    Ok(records)
}

fn understand(core: &Core, path: &str, answer: MultiReadResult) -> Option<NodeRecord> {
    let why = match answer {
        MultiReadResult::Data { data, .. } => match serde_json::from_slice::<NodeRecord>(&data) {
            Ok(record) if core.layout.key(path) == Some((record.role, &record.id)) => return Some(record),
            Ok(record) => format!("it says that it is {} {}", record.role, record.id),
            Err(error) => error.to_string(),
        },
        MultiReadResult::Error { err: Error::NoNode } => return None,
        MultiReadResult::Error { err } => err.to_string(),
        _ => "another answer than its content".into(),
    };
    metrics::counter!("phalanx_roster_unreadable_total").increment(1);
    tracing::warn!(path, why, "a node of the roster is left out, because it cannot be understood");
    None
}

fn publish(core: &Core, shown: &Snapshot) {
    core.snapshot.send_if_modified(|current| {
        let changed = **current != *shown;
        if changed {
            *current = shown.clone().into();
        }
        changed
    });
}
