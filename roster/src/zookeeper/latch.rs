//! A candidate's latch: an ephemeral sequential node whose name says whose it is.
//!
//! `_c_<guid>-latch-<sequence>`, as other clients of ZooKeeper name theirs. The guid finds a latch again whose creation
//! was not answered; without it the latch would stay and block the election as long as the session lives.

use std::sync::Arc;

use futures_util::future;
use zookeeper_client::{CreateMode, Error};

use super::{
    core::{Connection, Core},
    pause::Pause,
};

/// A latch that was created, or may have been. Dropping it deletes it in the background.
#[derive(Debug)]
pub(super) struct Latch {
    core: Arc<Core>,
    directory: Arc<str>,
    guid: String,
    /// In which session a creation was sent.
    session: Option<u64>,
    /// Its name, once that is known.
    name: Option<String>,
}

/// What a look at the queue shows.
pub(super) enum Rank {
    First,
    /// Behind this latch (its path).
    Behind(String),
    /// It is gone.
    Missing,
}

impl Latch {
    pub(super) fn new(core: &Arc<Core>, directory: &Arc<str>) -> Self {
        let guid = format!("_c_{:032x}-latch-", rand::random::<u128>());
        Self { core: core.clone(), directory: directory.clone(), guid, session: None, name: None }
    }

    /// Whether it can still be of use over this connection.
    pub(super) fn fits(&self, connection: &Connection) -> bool {
        self.session.is_none_or(|session| session == connection.session)
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.directory, self.name.as_deref().unwrap_or_default())
    }

    /// Makes sure that it is there; false where it must be given up, because its creation was never answered and it cannot be
    /// found.
    pub(super) async fn create(&mut self, connection: &Connection, content: &[u8]) -> Result<bool, Error> {
        if self.name.is_some() {
            return Ok(true);
        }
        if self.session.is_some() {
            self.name = find(connection, &self.directory, &self.guid).await?;
            return Ok(self.name.is_some());
        }
        let prefix = format!("{}/{}", self.directory, self.guid);
        loop {
            self.session = Some(connection.session);
            let kind = self.core.kind(CreateMode::EphemeralSequential);
            match connection.client.create(&prefix, content, &kind).await {
                Ok((_, sequence)) => {
                    self.name = Some(format!("{}{sequence}", self.guid));
                    return Ok(true);
                }
                Err(Error::NoNode) => {
                    self.session = None;
                    self.core.make(&connection.client, &self.directory).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Its place in the queue. All that came before it are seen: this session has seen its own latch.
    pub(super) async fn rank(&self, connection: &Connection) -> Result<Rank, Error> {
        let names = match connection.client.list_children(&self.directory).await {
            Err(Error::NoNode) => return Ok(Rank::Missing),
            names => names?,
        };
        let mut queue: Vec<(i64, &String)> =
            names.iter().filter_map(|name| Some((sequence(name)?, name))).collect();
        queue.sort_unstable();
        Ok(match queue.iter().position(|(_, name)| Some(*name) == self.name.as_ref()) {
            None => Rank::Missing,
            Some(0) => Rank::First,
            Some(place) => Rank::Behind(format!("{}/{}", self.directory, queue[place - 1].1)),
        })
    }

    /// Deletes it, however long that takes while its session lives.
    pub(super) async fn remove(mut self) {
        if let Some(session) = self.session.take() {
            remove(&self.core, session, &self.directory, &self.guid, self.name.take()).await;
        }
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        let (core, directory, name) = (self.core.clone(), self.directory.clone(), self.name.take());
        let guid = std::mem::take(&mut self.guid);
        self.core.runtime.spawn(async move { remove(&core, session, &directory, &guid, name).await });
    }
}

fn sequence(name: &str) -> Option<i64> {
    name.rsplit_once("-latch-")?.1.parse().ok()
}

/// Looks after everything that the session has sent before has come to the leader, over whichever connection.
async fn find(connection: &Connection, directory: &str, guid: &str) -> Result<Option<String>, Error> {
    let client = &connection.client;
    let (synced, names) = future::join(client.sync(directory), client.list_children(directory)).await;
    synced?;
    match names {
        Ok(names) => Ok(names.into_iter().find(|name| name.starts_with(guid))),
        Err(Error::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn remove(core: &Core, session: u64, directory: &str, guid: &str, mut name: Option<String>) {
    let mut pause = Pause::default();
    while let Some(connection) = core.connected().await {
        // With its session it is gone, or will be.
        if connection.session != session {
            return;
        }
        if name.is_none() {
            name = match find(&connection, directory, guid).await {
                Ok(None) => return,
                Ok(found) => found,
                Err(_) => None,
            };
        }
        if let Some(name) = &name {
            match connection.client.delete(&format!("{directory}/{name}"), None).await {
                Ok(()) | Err(Error::NoNode) => return,
                Err(error) => tracing::debug!(%error, "a latch cannot be deleted yet"),
            }
        }
        pause.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_latches_count() {
        assert_eq!(sequence("_c_00ff-latch-0000000012"), Some(12));
        assert_eq!(sequence("_c_00ff-latch--2147483648"), Some(-2_147_483_648));
        assert_eq!(sequence("workers"), None);
        assert_eq!(sequence("x-latch-y"), None);
    }
}
