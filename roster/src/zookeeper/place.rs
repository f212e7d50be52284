//! How a node's place in ZooKeeper is taken, kept and left without ever harming a newer start of the same node.
//!
//! An ephemeral node cannot change hands: whoever replaces one deletes it and creates another. Versions do not protect
//! that: each new node begins at version 0 again, so a slow process that has read "incarnation 1, version 0" would
//! delete "incarnation 3, version 0", which came in between. And between a delete and a create of its own an older
//! start could slip in. Therefore
//!
//! - delete and create are one transaction, so that there is no moment between them, and
//! - every transaction that gives the place to somebody writes the node's *fence*, a persistent node, with the version
//!   that was read *before* the place was looked at. Whoever gave the place away in between has written it too, so the
//!   slower one fails and looks again. Changes of content and leaving check the same version without writing it.
//!
//! So a transaction succeeds only if the place still belongs to whom its author has seen there, or to nobody; a node that
//! vanishes with its session makes the delete fail. Several nodes may share a fence: they only look once more.

use futures_util::future;
use serde::Deserialize;
use wire::{Incarnation, NodeRecord};
use zookeeper_client::{CreateMode, Error, MultiWriteError, Stat};

use super::core::{Connection, Core};

/// Why a place was not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// A newer start has it.
    Superseded(Incarnation),
    /// ZooKeeper did not do it; after a lost connection it may have done it all the same.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What decides who may stay; other fields may be of a build that this one does not understand.
#[derive(Deserialize)]
struct Holder {
    incarnation: Incarnation,
}

/// Which start a content belongs to. What nobody understands gives way to anybody.
pub(super) fn holder(data: &[u8]) -> Incarnation {
    serde_json::from_slice::<Holder>(data).map_or(Incarnation(0), |holder| holder.incarnation)
}

/// A place, and the version of its fence from before it was looked at.
struct Seen {
    fence_version: i32,
    node: Option<(Vec<u8>, Stat)>,
}

async fn look(core: &Core, connection: &Connection, path: &str, fence: &str) -> Result<Seen, Error> {
    let client = &connection.client;
    loop {
        // Both requests are sent now, in this order.
        let (fenced, node) = future::join(client.get_data(fence), client.get_data(path)).await;
        let fence_version = match fenced {
            Ok((_, stat)) => stat.version,
            Err(Error::NoNode) => {
                core.make(client, fence).await?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let node = match node {
            Ok(node) => Some(node),
            Err(Error::NoNode) => None,
            Err(error) => return Err(error),
        };
        return Ok(Seen { fence_version, node });
    }
}

/// Makes the place hold exactly this record, as a node of this session.
pub(super) async fn take(core: &Core, connection: &Connection, record: &NodeRecord) -> Result<(), Refused> {
    let (path, fence) =
        (core.layout.node(record.role, &record.id), core.layout.fence(record.role, &record.id));
    let wanted = serde_json::to_vec(record)
        .map_err(|error| Refused::Failed(Error::UnexpectedError(error.to_string())))?;
    loop {
        let Seen { fence_version, node } = look(core, connection, &path, &fence).await?;
        let mut transaction = connection.client.new_multi_writer();
        match node {
            Some((data, _)) if holder(&data) > record.incarnation => {
                return Err(Refused::Superseded(holder(&data)));
            }
            Some((data, stat)) if holder(&data) == record.incarnation && connection.owns(&stat) => {
                if data == wanted {
                    return Ok(());
                }
                transaction.add_check_version(&fence, fence_version)?;
                transaction.add_set_data(&path, &wanted, Some(stat.version))?;
            }
            other => {
                transaction.add_set_data(&fence, b"", Some(fence_version))?;
                // An older start, or this one in a session that is gone.
                if let Some((_, stat)) = other {
                    transaction.add_delete(&path, Some(stat.version))?;
                }
                transaction.add_create(&path, &wanted, &core.kind(CreateMode::Ephemeral))?;
            }
        }
        match transaction.commit().await {
            Ok(_) => {
                metrics::counter!("phalanx_roster_placements_total").increment(1);
                return Ok(());
            }
            Err(MultiWriteError::OperationFailed { source: Error::NoNode, .. }) => {
                core.make(&connection.client, &core.layout.role(record.role)).await?;
            }
            Err(error) if overtaken(&error) => {}
            Err(error) => return Err(Error::from(error).into()),
        }
    }
}

/// Frees the place, if it still is this start's.
pub(super) async fn leave(core: &Core, connection: &Connection, record: &NodeRecord) -> Result<(), Error> {
    let (path, fence) =
        (core.layout.node(record.role, &record.id), core.layout.fence(record.role, &record.id));
    loop {
        // Whatever this session has sent over an earlier connection is seen, or will never come.
        connection.client.sync(&path).await?;
        let Seen { fence_version, node } = look(core, connection, &path, &fence).await?;
        let Some((_, stat)) = node.filter(|(data, _)| holder(data) == record.incarnation) else {
            return Ok(());
        };
        let mut transaction = connection.client.new_multi_writer();
        transaction.add_check_version(&fence, fence_version)?;
        transaction.add_delete(&path, Some(stat.version))?;
        match transaction.commit().await {
            Ok(_) => return Ok(()),
            Err(error) if overtaken(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Somebody else was quicker: what was seen is not so any more.
fn overtaken(error: &MultiWriteError) -> bool {
    matches!(
        error,
        MultiWriteError::OperationFailed {
            source: Error::BadVersion | Error::NoNode | Error::NodeExists,
            ..
        }
    )
}
