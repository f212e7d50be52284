//! Persistent nodes.

use futures_util::future;
use zookeeper_client::{CreateMode, Error};

use super::core::{Core, unavailable};
use crate::{
    RosterError, Version,
    path::{check_data, check_path, parents},
};

/// Reads what the leader has acknowledged by now: after a new session another server, which lags behind, could show an
/// older content or none.
pub(super) async fn read(core: &Core, path: &str) -> Result<Option<(Vec<u8>, Version)>, RosterError> {
    check_path(path)?;
    core.bounded(async {
        let client = &core.reach().await?.client;
        let absolute = core.layout.record(path);
        let (synced, read) = future::join(client.sync(&absolute), client.get_data(&absolute)).await;
        synced.map_err(|error| unavailable(&error))?;
        match read {
            Ok((data, stat)) => Ok(Some((data, Version(stat.version.into())))),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(unavailable(&error)),
        }
    })
    .await
}

pub(super) async fn create(core: &Core, path: &str, data: &[u8]) -> Result<Version, RosterError> {
    check_path(path)?;
    check_data(data)?;
    core.bounded(async {
        let client = &core.reach().await?.client;
        let absolute = core.layout.record(path);
        loop {
            match client.create(&absolute, data, &core.kind(CreateMode::Persistent)).await {
                Ok(_) => return Ok(Version(0)),
                Err(Error::NodeExists) => return Err(RosterError::Exists(path.to_owned())),
                Err(Error::NoNode) => {
                    let above = parents(&absolute).last().unwrap_or_default();
                    core.make(client, above).await.map_err(|error| unavailable(&error))?;
                }
                Err(error) => return Err(unavailable(&error)),
            }
        }
    })
    .await
}

pub(super) async fn write(
    core: &Core,
    path: &str,
    data: &[u8],
    expected: Version,
) -> Result<Version, RosterError> {
    check_path(path)?;
    check_data(data)?;
    let conflict = || RosterError::Conflict { path: path.to_owned(), expected };
    // ZooKeeper takes a negative version for any.
    let version = i32::try_from(expected.0).ok().filter(|version| *version >= 0).ok_or_else(conflict)?;
    core.bounded(async {
        let client = &core.reach().await?.client;
        match client.set_data(&core.layout.record(path), data, Some(version)).await {
            Ok(stat) => Ok(Version(stat.version.into())),
            Err(Error::BadVersion | Error::NoNode) => Err(conflict()),
            Err(error) => Err(unavailable(&error)),
        }
    })
    .await
}
