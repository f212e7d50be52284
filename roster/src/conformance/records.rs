//! Persistent nodes.

use std::sync::Arc;

use super::{Fixture, within};
use crate::{DATA_MAX_BYTES, Roster, RosterError, Version};

const PATH: &str = "/idgen/watermark";

/// Reads give the last content and its version.
pub async fn what_was_written_is_read(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    assert_eq!(one.read(PATH).await.expect("a read"), None);
    let created = one.create(PATH, b"1").await.expect("it is not there");
    assert_eq!(created, Version(0));
    let written = one.write(PATH, b"2", created).await.expect("nobody else writes");
    assert_eq!(written, Version(1));
    assert_eq!(one.read(PATH).await.expect("a read"), Some((b"2".to_vec(), Version(1))));
    let third = other.write(PATH, b"3", written).await.expect("nobody else writes");
    assert_eq!(other.read(PATH).await.expect("a read"), Some((b"3".to_vec(), third)));
}

/// The second creation is refused and changes nothing.
pub async fn a_node_is_created_once(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    one.create(PATH, b"mine").await.expect("it is not there");
    let refused = other.create(PATH, b"yours").await.expect_err("it is there");
    assert!(matches!(&refused, RosterError::Exists(path) if path == PATH), "{refused}");
    assert_eq!(one.read(PATH).await.expect("a read"), Some((b"mine".to_vec(), Version(0))));
}

/// A write with another version than the current one is refused and changes nothing.
pub async fn a_write_needs_the_version_that_was_read(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    let missing = one.write(PATH, b"x", Version(0)).await.expect_err("there is nothing to replace");
    assert!(matches!(missing, RosterError::Conflict { .. }), "{missing}");
    let created = one.create(PATH, b"1").await.expect("it is not there");
    let written = other.write(PATH, b"2", created).await.expect("it is unchanged");
    for stale in [created, Version(written.0 + 1)] {
        let refused = one.write(PATH, b"3", stale).await.expect_err("another version");
        let RosterError::Conflict { path, expected } = refused else { panic!("{refused}") };
        assert_eq!((path.as_str(), expected), (PATH, stale));
    }
    // ZooKeeper takes -1 for any version: it must not mean that here.
    let any = one.write(PATH, b"3", Version(-1)).await.expect_err("no node has this version");
    assert!(matches!(any, RosterError::Conflict { .. }), "{any}");
    assert_eq!(one.read(PATH).await.expect("a read"), Some((b"2".to_vec(), written)));
}

/// What a path needs above it is made, and is a persistent node like others.
pub async fn parents_come_without_content(fixture: impl Fixture) {
    let roster = fixture.connect().await;
    roster.create("/idgen/workers/7", b"held").await.expect("it is not there");
    roster.create("/idgen/workers/8", b"held").await.expect("its parent is there, it is not");
    for parent in ["/idgen", "/idgen/workers"] {
        let (data, version) = roster.read(parent).await.expect("a read").expect("it was made");
        assert!(data.is_empty());
        let refused = roster.create(parent, b"x").await.expect_err("it is there");
        assert!(matches!(refused, RosterError::Exists(_)), "{refused}");
        roster.write(parent, b"x", version).await.expect("it may have content");
    }
}

/// From nothing to the limit; above it, it is refused.
pub async fn contents_of_every_size_up_to_the_limit(fixture: impl Fixture) {
    let roster = fixture.connect().await;
    for size in [0, 1, 65_536, DATA_MAX_BYTES] {
        let (path, data) = (format!("/sizes/{size}"), vec![0xa5; size]);
        let version = roster.create(&path, &data).await.expect("it fits");
        assert_eq!(roster.read(&path).await.expect("a read"), Some((data.clone(), version)));
        let too_large = vec![0; DATA_MAX_BYTES + 1];
        let refused = roster.write(&path, &too_large, version).await.expect_err("it does not fit");
        assert!(matches!(refused, RosterError::Invalid(_)), "{refused}");
        let refused = roster.create("/sizes/too-large", &too_large).await.expect_err("it does not fit");
        assert!(matches!(refused, RosterError::Invalid(_)), "{refused}");
    }
}

/// Paths keep to one alphabet everywhere.
pub async fn a_path_that_is_none_is_refused(fixture: impl Fixture) {
    let roster = fixture.connect().await;
    for path in ["", "/", "idgen", "/idgen/", "/idgen//x", "/../x", "/a b"] {
        let answers = [
            roster.read(path).await.map(|_| ()),
            roster.create(path, b"").await.map(|_| ()),
            roster.write(path, b"", Version(0)).await.map(|_| ()),
        ];
        for answer in answers {
            assert!(matches!(answer, Err(RosterError::Invalid(_))), "{path:?}: {answer:?}");
        }
    }
}

/// Compare and set, from two processes at once.
pub async fn fifty_increments_at_once_lose_nothing(fixture: impl Fixture) {
    let rosters = [fixture.connect().await, fixture.connect().await];
    rosters[0].create(PATH, b"0").await.expect("it is not there");
    let increments: Vec<_> =
        rosters.iter().cycle().take(50).map(|roster| tokio::spawn(increment(roster.clone()))).collect();
    for increment in increments {
        within("an increment", increment).await.expect("it succeeds in the end");
    }
    let read = rosters[1].read(PATH).await.expect("a read");
    assert_eq!(read, Some((b"50".to_vec(), Version(50))));
}

async fn increment(roster: Arc<dyn Roster>) {
    loop {
        let (data, version) = roster.read(PATH).await.expect("a read").expect("it was created");
        let number: u64 = String::from_utf8_lossy(&data).parse().expect("a number");
        match roster.write(PATH, (number + 1).to_string().as_bytes(), version).await {
            Ok(_) => return,
            Err(RosterError::Conflict { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// Of many who create the same node exactly one succeeds.
pub async fn one_of_many_creates_wins(fixture: impl Fixture) {
    let rosters = [fixture.connect().await, fixture.connect().await];
    let creations: Vec<_> = rosters
        .iter()
        .cycle()
        .take(20)
        .enumerate()
        .map(|(number, roster)| {
            let roster = roster.clone();
            tokio::spawn(
                async move { roster.create(PATH, number.to_string().as_bytes()).await.map(|_| number) },
            )
        })
        .collect();
    let mut winners = Vec::new();
    for creation in creations {
        match within("a creation", creation).await.expect("it does not panic") {
            Ok(number) => winners.push(number),
            Err(RosterError::Exists(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    let read = rosters[0].read(PATH).await.expect("a read");
    assert_eq!(read, Some((winners[0].to_string().into_bytes(), Version(0))));
}

/// A stop of everything loses no persistent node, and no version starts again.
pub async fn records_outlive_a_restart(mut fixture: impl Fixture) {
    let roster = fixture.connect().await;
    let created = roster.create(PATH, b"1").await.expect("it is not there");
    let written = roster.write(PATH, b"2", created).await.expect("nobody else writes");
    drop(roster);
    fixture.restart().await;
    let roster = fixture.connect().await;
    assert_eq!(roster.read(PATH).await.expect("a read"), Some((b"2".to_vec(), written)));
    assert!(roster.watch().borrow().nodes().next().is_none(), "nobody has registered since");
    let refused = roster.write(PATH, b"3", created).await.expect_err("an old version");
    assert!(matches!(refused, RosterError::Conflict { .. }), "{refused}");
    roster.write(PATH, b"3", written).await.expect("the version that was read");
}
