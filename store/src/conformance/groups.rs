//! Groups: settings, deleting, pages of members.

use super::{Place, support::*};
use crate::{GroupRecord, JoinRefusal, UserGroup};

/// `created_at` and the members stay when settings change.
pub async fn settings_are_kept_and_changed(place: &impl Place) {
    let store = place.open().await;
    let record = GroupRecord {
        group: group("team:1"),
        open: true,
        name: Some("The \"Team\" ☃".into()),
        owner: Some(user("boss")),
        created_at: 1_234,
        members: 99,
    };
    assert_eq!(store.group(&record.group).await.expect("the store works"), None);
    assert!(store.put_group(record.clone()).await.expect("the store works"), "it is new");
    join(&store, "team:1", ["a", "b"]).await;
    let kept = store.group(&record.group).await.expect("the store works").expect("it exists");
    assert_eq!(kept, GroupRecord { members: 2, ..record.clone() });
    let changed = GroupRecord { open: false, name: None, owner: None, created_at: 9, ..record.clone() };
    assert!(!store.put_group(changed.clone()).await.expect("the store works"), "it was there");
    let kept = store.group(&record.group).await.expect("the store works").expect("it exists");
    assert_eq!(kept, GroupRecord { created_at: 1_234, members: 2, ..changed });
}

/// By oneself: into an open group with room, and no other; one who is in is not refused.
pub async fn an_open_group_is_joined_while_there_is_room(place: &impl Place) {
    let store = place.open().await;
    let ask = async |name: &str, most| {
        store.join_group(&group("g"), user(name), most).await.expect("the store works")
    };
    assert_eq!(ask("a", 9).await, Err(JoinRefusal::NoGroup));
    make_group(&store, "g", ["a"]).await;
    assert_eq!(ask("b", 9).await, Err(JoinRefusal::Closed));
    assert_eq!(inbox(&store, "b").await.groups, [], "asking leaves nothing behind");
    assert!(ask("a", 9).await.expect("a member").changed.is_empty());
    let open =
        GroupRecord { group: group("g"), open: true, name: None, owner: None, created_at: 1, members: 0 };
    store.put_group(open).await.expect("the store works");
    connect(&store, &key("b", "phone"), &node("spear-2", 1)).await;
    append(&store, to_group("a", "g")).await;
    let before = inbox_version(&store, "b").await;
    let joined = ask("b", 2).await.expect("it is open");
    assert_eq!((joined.changed, joined.members), (users(["b"]), 2));
    assert_eq!(joined.nodes, [node("spear-2", 1)]);
    assert!(inbox_version(&store, "b").await > before);
    assert_eq!(membership(&store, "b", "g").await.spans[0].joined_seq, 2);
    assert_eq!(ask("c", 2).await, Err(JoinRefusal::Full));
    assert!(membership(&store, "c", "g").await.spans.is_empty());
    assert_eq!(ask("b", 2).await.expect("a member").members, 2);
    let sizes = store.inbox_sizes(users(["b", "nobody"])).await.expect("the store works");
    assert_eq!(sizes, [1, 0]);
}

/// History and count stay; old members are not members any more.
pub async fn a_group_made_again_goes_on_counting(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a", "b"]).await;
    append(&store, to_group("a", "g")).await;
    append(&store, to_group("a", "g")).await;
    let before = membership(&store, "a", "g").await.members_version;
    store.delete_group(&group("g")).await.expect("the store works");
    make_group(&store, "g", ["b"]).await;
    assert_eq!(append(&store, to_group("b", "g")).await.message.seq, 3);
    let UserGroup { spans, last_seq, members_version, .. } = membership(&store, "a", "g").await;
    assert_eq!(last_seq, 3);
    assert!(members_version > before, "the version goes on, too");
    assert!((1..=3).map(|seq| spans.iter().any(|span| span.holds(seq))).eq([true, true, false]));
    let b = membership(&store, "b", "g").await.spans;
    assert!((1..=3).all(|seq| b.iter().any(|span| span.holds(seq))));
    assert_eq!(store.group(&group("g")).await.expect("the store works").expect("it exists").members, 1);
}

/// Everybody is named, and nothing is left but history.
pub async fn deleting_removes_everybody(place: &impl Place) {
    let store = place.open().await;
    assert_eq!(store.delete_group(&group("g")).await.expect("the store works"), None);
    make_group(&store, "g", ["b", "a", "c"]).await;
    append(&store, to_group("a", "g")).await;
    leave(&store, "g", ["c"]).await;
    let before = membership(&store, "a", "g").await.members_version;
    let deleted = store.delete_group(&group("g")).await.expect("the store works").expect("it existed");
    let mut changed = deleted.changed;
    changed.sort_unstable();
    assert_eq!(changed, users(["a", "b"]));
    assert_eq!(deleted.members, 0);
    assert!(deleted.members_version > before);
    assert_eq!(store.group(&group("g")).await.expect("the store works"), None);
    assert_eq!(store.members(&group("g"), None, 10).await.expect("the store works"), None);
    assert_eq!(store.add_members(&group("g"), users(["a"])).await.expect("the store works"), None);
    assert_eq!(store.remove_members(&group("g"), users(["a"])).await.expect("the store works"), None);
    assert_eq!(read_all(&store, &of_group("g")).await.len(), 1);
}

/// In bytewise order, each once, none of those who left.
pub async fn members_come_in_pages(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", []).await;
    let all: Vec<_> = (0..25).map(|n| user(&format!("m{n:02}"))).chain(users(["B", "a:1", "z"])).collect();
    store.add_members(&group("g"), all.clone()).await.expect("the store works");
    append(&store, crate::Append { members_only: false, ..to_group("x", "g") }).await;
    leave(&store, "g", ["m03", "m04"]).await;
    let mut expected: Vec<_> =
        all.into_iter().filter(|name| !["m03", "m04"].contains(&name.as_str())).collect();
    expected.sort_unstable();
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.members(&group("g"), cursor, 13).await.expect("the store works").expect("it exists");
        assert!(page.members.len() <= 13);
        found.extend(page.members);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
    let whole = store.members(&group("g"), None, 26).await.expect("the store works").expect("it exists");
    assert_eq!((whole.members.len(), whole.cursor), (26, None), "a full last page has no next one");
}
