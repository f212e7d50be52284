//! What is there after closing and opening again.

use super::{Place, support::*};
use crate::{CursorMove, Cursors, GroupRecord};

/// With their place in the conversation, inboxes and read marks; the count goes on.
pub async fn messages_are_there_again(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    append_all(&store, vec![to_user("a", "b"), to_user("b", "a"), to_group("a", "g"), to_user("a", "b")])
        .await;
    let conversations = [direct("a", "b"), of_group("g")];
    let mut before = Vec::new();
    for conversation in &conversations {
        before.push(read_all(&store, conversation).await);
    }
    let heads = store.heads(conversations.to_vec()).await.expect("the store works");
    drop(store);

    let store = place.open().await;
    for (conversation, before) in conversations.iter().zip(before) {
        let after = read_all(&store, conversation).await;
        let json = |messages| serde_json::to_string(messages).expect("messages are JSON");
        assert_eq!(json(&after), json(&before));
        assert!(
            after.iter().zip(&before).all(|(after, before)| after.origin_session == before.origin_session)
        );
    }
    assert_eq!(store.heads(conversations.to_vec()).await.expect("the store works"), heads);
    assert_eq!(inbox(&store, "a").await.direct, [(direct("a", "b"), 3)]);
    assert_eq!(inbox(&store, "a").await.groups, [group("g")]);
    let marks =
        vec![(user("a"), direct("a", "b")), (user("b"), direct("a", "b")), (user("a"), of_group("g"))];
    assert_eq!(store.read_seqs(marks).await.expect("the store works"), [3, 2, 1]);
    let next = append(&store, to_user("a", "b")).await.message;
    assert_eq!(next.seq, 4);
    assert!(next.sent_at >= heads[0].last_at);
    assert_eq!(append(&store, to_group("a", "g")).await.message.seq, 2);
}

/// By cid and by id.
pub async fn duplicates_are_known_again(place: &impl Place) {
    let store = place.open().await;
    let (by_cid, by_id) = (with_cid("c", to_user("a", "b")), to_user("a", "b"));
    append_all(&store, vec![by_cid.clone(), by_id.clone(), to_user("a", "b")]).await;
    drop(store);

    let store = place.open().await;
    let by_cid = crate::Append { id: next_id(), ..by_cid };
    let answers = append_all(&store, vec![by_cid, by_id, to_user("a", "b")]).await;
    let answers: Vec<_> = answers.iter().map(|answer| (answer.message.seq, answer.duplicate)).collect();
    assert_eq!(answers, [(1, true), (2, true), (4, false)]);
}

/// Settings, members, spans; a deleted group stays deleted.
pub async fn groups_and_spans_are_there_again(place: &impl Place) {
    let store = place.open().await;
    let record = GroupRecord {
        group: group("g"),
        open: true,
        name: Some("G".into()),
        owner: None,
        created_at: 7,
        members: 0,
    };
    store.put_group(record.clone()).await.expect("the store works");
    make_group(&store, "gone", ["a"]).await;
    join(&store, "g", ["a", "b"]).await;
    append(&store, to_group("a", "g")).await;
    append(&store, to_group("a", "gone")).await;
    leave(&store, "g", ["a"]).await;
    append(&store, to_group("b", "g")).await;
    join(&store, "g", ["a"]).await;
    store.delete_group(&group("gone")).await.expect("the store works");
    let before = [membership(&store, "a", "g").await, membership(&store, "a", "gone").await];
    drop(store);

    let store = place.open().await;
    let found = store.group(&group("g")).await.expect("the store works");
    assert_eq!(found, Some(GroupRecord { members: 2, ..record }));
    assert_eq!(store.group(&group("gone")).await.expect("the store works"), None);
    assert_eq!([membership(&store, "a", "g").await, membership(&store, "a", "gone").await], before);
    assert_eq!(append(&store, to_group("a", "g")).await.members_version, before[0].members_version);
    assert!(try_append(&store, to_group("a", "gone")).await.is_err());
}

/// Epochs, births, cursors and when users were last seen. Presence need not be.
pub async fn devices_are_known_again(place: &impl Place) {
    let store = place.open().await;
    let (here, phone, pad) = (node("spear-1", 1), key("a", "phone"), key("a", "pad"));
    let old = connect(&store, &phone, &here).await;
    let born_at = connect(&store, &pad, &here).await.born_at;
    append_all(&store, vec![to_user("b", "a"), to_user("b", "a")]).await;
    let cursors = vec![(direct("a", "b"), 2)];
    let batch = vec![CursorMove { key: phone.clone(), epoch: old.epoch, cursors }];
    store.move_cursors(batch).await.expect("the store works");
    let seen = store.presence(vec![user("a")]).await.expect("the store works")[0].last_seen_at;
    drop(store);

    let store = place.open().await;
    assert_eq!(store.cursors(&phone).await.expect("the store works"), Cursors::from([(direct("a", "b"), 2)]));
    let presence = store.presence(vec![user("a"), user("z")]).await.expect("the store works");
    assert_eq!((presence[0].last_seen_at, presence[1].last_seen_at), (seen, None));
    append(&store, from_device("phone", old.epoch, to_user("a", "b"))).await;
    let there = node("spear-1", 2);
    store.enter(&there).await.expect("the store works");
    let new = connect(&store, &phone, &there).await;
    assert!(new.epoch > old.epoch);
    assert!(new.known);
    assert_eq!(new.born_at, 0);
    assert_eq!(connect(&store, &pad, &there).await.born_at, born_at);
    assert!(try_append(&store, from_device("phone", old.epoch, to_user("a", "b"))).await.is_err());
}

/// Else a node that compares would think that it knows everything.
pub async fn versions_do_not_go_back(place: &impl Place) {
    let mut last = (0, 0);
    for _ in 0..3 {
        let store = place.open().await;
        let opened = inbox_version(&store, "a").await;
        assert!(opened >= last.0, "{opened} after {}", last.0);
        append(&store, to_user("a", "b")).await;
        make_group(&store, "g", ["a"]).await;
        leave(&store, "g", ["a"]).await;
        let now = (inbox_version(&store, "a").await, membership(&store, "a", "g").await.members_version);
        assert!(now.0 > opened && now.1 > last.1);
        last = now;
    }
}
