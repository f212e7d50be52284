//! Who may not write.

use super::{Place, support::*};
use crate::{Append, AppendRefusal};

/// Not even from the system.
pub async fn a_group_that_does_not_exist_takes_nothing(place: &impl Place) {
    let store = place.open().await;
    let by_system = Append { members_only: false, ..to_group("a", "g") };
    for message in [to_group("a", "g"), by_system] {
        assert_eq!(try_append(&store, message).await.err(), Some(AppendRefusal::NoGroup));
    }
    make_group(&store, "g", ["a"]).await;
    assert_eq!(append(&store, to_group("a", "g")).await.message.seq, 1);
    store.delete_group(&group("g")).await.expect("the store works");
    assert_eq!(try_append(&store, to_group("a", "g")).await.err(), Some(AppendRefusal::NoGroup));
}

/// From joining to leaving.
pub async fn only_members_write_unless_the_system_does(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    assert_eq!(try_append(&store, to_group("b", "g")).await.err(), Some(AppendRefusal::NotMember));
    join(&store, "g", ["b"]).await;
    append(&store, to_group("b", "g")).await;
    leave(&store, "g", ["b"]).await;
    assert_eq!(try_append(&store, to_group("b", "g")).await.err(), Some(AppendRefusal::NotMember));
    append(&store, Append { members_only: false, ..to_group("b", "g") }).await;
    assert_contiguous(&read_all(&store, &of_group("g")).await);
}

/// A device that connects again shuts its older connection out, and only that one.
pub async fn an_older_connection_may_not_write(place: &impl Place) {
    let store = place.open().await;
    let (here, there) = (node("spear-1", 1), node("spear-2", 1));
    let old = connect(&store, &key("a", "phone"), &here).await.epoch;
    append(&store, from_device("phone", old, to_user("a", "b"))).await;
    let new = connect(&store, &key("a", "phone"), &there).await.epoch;
    let laptop = connect(&store, &key("a", "laptop"), &here).await.epoch;
    let refused = try_append(&store, from_device("phone", old, to_user("a", "b"))).await;
    assert_eq!(refused.err(), Some(AppendRefusal::OldEpoch));
    append(&store, from_device("phone", new, to_user("a", "b"))).await;
    append(&store, from_device("laptop", laptop, to_user("a", "b"))).await;
    append(&store, to_user("a", "b")).await;
    assert_contiguous(&read_all(&store, &direct("a", "b")).await);
}

/// Each message of a batch stands by itself.
pub async fn a_refusal_does_not_take_the_others(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    let batch = vec![
        to_group("a", "g"),
        to_group("x", "g"),
        to_group("a", "none"),
        to_user("x", "a"),
        to_group("a", "g"),
    ];
    let answers = store.append(batch).await.expect("the store works");
    let outcomes: Vec<_> =
        answers.into_iter().map(|answer| answer.map(|appended| appended.message.seq)).collect();
    assert_eq!(outcomes, [Ok(1), Err(AppendRefusal::NotMember), Err(AppendRefusal::NoGroup), Ok(1), Ok(2)]);
}

/// No group, then no member, then an old connection; and a refused repetition is no duplicate.
pub async fn the_first_reason_is_given(place: &impl Place) {
    let store = place.open().await;
    let here = node("spear-1", 1);
    make_group(&store, "g", ["a"]).await;
    let old = connect(&store, &key("a", "phone"), &here).await.epoch;
    let sent = from_device("phone", old, with_cid("c", to_group("a", "g")));
    append(&store, sent.clone()).await;
    connect(&store, &key("a", "phone"), &here).await;
    assert_eq!(try_append(&store, sent.clone()).await.err(), Some(AppendRefusal::OldEpoch));
    leave(&store, "g", ["a"]).await;
    assert_eq!(try_append(&store, sent.clone()).await.err(), Some(AppendRefusal::NotMember));
    store.delete_group(&group("g")).await.expect("the store works");
    assert_eq!(try_append(&store, sent).await.err(), Some(AppendRefusal::NoGroup));
}
