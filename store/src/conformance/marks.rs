//! Read marks, and the log of changes.

use std::sync::Arc;

use wire::{Change, Conversation};

use super::{Place, support::*};
use crate::{Logged, LoggedChange, MarkRead, MarkRefusal, Marked, Routing, Store};

fn mark(name: &str, conversation: &Conversation, seq: u64) -> MarkRead {
    MarkRead { conversation: conversation.clone(), user: user(name), seq, most_members: 200 }
}

async fn read(store: &impl Store, mark: MarkRead) -> Result<Marked, MarkRefusal> {
    store.mark_read(vec![mark]).await.expect("the store works").remove(0)
}

/// Where the mark stands, and the change.
async fn read_to(
    store: &impl Store,
    name: &str,
    conversation: &Conversation,
    seq: u64,
) -> (u64, Option<Logged>) {
    let marked = read(store, mark(name, conversation, seq)).await.expect("not refused");
    assert!(marked.moved || marked.logged.is_none(), "only what has moved is logged");
    (marked.read_seq, marked.logged)
}

async fn read_seq(store: &impl Store, name: &str, conversation: &Conversation) -> u64 {
    store.read_seqs(vec![(user(name), conversation.clone())]).await.expect("the store works")[0]
}

fn reading(name: &str, read_seq: u64) -> Change {
    Change::Read { user: user(name), read_seq }
}

fn kinds(changes: Vec<LoggedChange>) -> Vec<Change> {
    assert!(changes.windows(2).all(|pair| pair[0].rev < pair[1].rev), "in order");
    changes.into_iter().map(|logged| logged.change).collect()
}

/// And not past what is there.
pub async fn a_read_mark_only_goes_forwards(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a", "b"]).await;
    append_all(&store, (0..5).map(|_| to_user("a", "b")).collect()).await;
    append_all(&store, (0..5).map(|_| to_group("a", "g")).collect()).await;
    for conversation in [direct("a", "b"), of_group("g")] {
        for (seq, stands, moves) in
            [(2, 2, true), (2, 2, false), (1, 2, false), (9, 5, true), (u64::MAX, 5, false)]
        {
            let marked = read(&store, mark("b", &conversation, seq)).await.expect("not refused");
            assert_eq!((marked.read_seq, marked.moved), (stands, moves), "{conversation} {seq}");
            assert_eq!(marked.logged.is_some(), moves, "{conversation} {seq}");
            assert_eq!(read_seq(&store, "b", &conversation).await, stands);
        }
        assert_eq!(read_seq(&store, "a", &conversation).await, 5, "the sender's own");
    }
    assert_eq!(read_to(&store, "x", &direct("x", "y"), 3).await, (0, None), "nobody has written there");
}

/// And with oneself there is one mark.
pub async fn marks_of_one_batch_are_set_by_themselves(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    append_all(&store, vec![to_user("b", "a"), to_user("c", "a"), to_user("a", "a"), to_group("a", "g")])
        .await;
    let batch = vec![
        mark("a", &direct("a", "b"), 1),
        mark("z", &of_group("g"), 1),
        mark("a", &direct("a", "c"), 1),
        mark("a", &of_group("none"), 1),
    ];
    let answers = store.mark_read(batch).await.expect("the store works");
    let outcomes: Vec<_> = answers.into_iter().map(|answer| answer.map(|marked| marked.read_seq)).collect();
    assert_eq!(outcomes, [Ok(1), Err(MarkRefusal::NotMember), Ok(1), Err(MarkRefusal::NotMember)]);
    assert_eq!(read_to(&store, "a", &direct("a", "a"), 1).await, (1, None), "writing has read it");
}

/// Not further than their time, and whoever has left tells nobody.
pub async fn of_a_group_one_reads_what_was_sent_while_one_was_a_member(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a", "b"]).await;
    let g = of_group("g");
    append_all(&store, (0..3).map(|_| to_group("a", "g")).collect()).await;
    leave(&store, "g", ["b"]).await;
    append_all(&store, (0..3).map(|_| to_group("a", "g")).collect()).await;
    assert_eq!(read_to(&store, "b", &g, 9).await, (3, None));
    join(&store, "g", ["b"]).await;
    append(&store, to_group("a", "g")).await;
    let (stands, logged) = read_to(&store, "b", &g, 9).await;
    assert_eq!(stands, 7);
    let version = membership(&store, "a", "g").await.members_version;
    assert_eq!(logged.expect("a member again").members_version, version);
}

/// Where there are too many to be told.
pub async fn a_large_group_logs_no_reading(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a", "b", "c"]).await;
    let g = of_group("g");
    append_all(&store, (0..3).map(|_| to_group("a", "g")).collect()).await;
    let within = |seq, most_members| MarkRead { most_members, ..mark("b", &g, seq) };
    let marked = read(&store, within(1, 2)).await.expect("a member");
    assert_eq!(marked, Marked { read_seq: 1, moved: true, logged: None });
    assert_eq!(read_seq(&store, "b", &g).await, 1, "it is set all the same");
    assert_eq!(changes(&store, &g, 0).await.changes, []);
    assert!(read(&store, within(2, 3)).await.expect("a member").logged.is_some());
    assert_eq!(kinds(changes(&store, &g, 0).await.changes), [reading("b", 2)]);
}

/// By their places; each names the one before it. Of a user's readings the last one is kept.
pub async fn the_log_tells_what_came_after_a_place(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a", "b", "c"]).await;
    append_all(&store, (0..5).map(|_| to_user("a", "b")).collect()).await;
    append_all(&store, (0..5).map(|_| to_group("a", "g")).collect()).await;
    for (conversation, other) in [(direct("a", "b"), "a"), (of_group("g"), "c")] {
        if other == "a" {
            append_all(&store, (0..3).map(|_| to_user("b", "a")).collect()).await;
        }
        let (_, first) = read_to(&store, "b", &conversation, 1).await;
        let second = recall(&store, "a", &conversation, 2).await.expect("recalled");
        let third = if other == "a" {
            read_to(&store, "a", &conversation, 8).await.1
        } else {
            read_to(&store, "c", &conversation, 4).await.1
        };
        let (stands, fourth) = read_to(&store, "b", &conversation, if other == "a" { 9 } else { 3 }).await;
        // In the direct one b has read all by writing.
        let logged: Vec<Logged> = [first, Some(second.logged), third, fourth].into_iter().flatten().collect();
        assert!(
            logged.windows(2).all(|pair| pair[1].previous_rev == pair[0].rev && pair[1].rev > pair[0].rev)
        );
        assert_eq!(logged[0].previous_rev, 0);
        let end = logged.last().expect("some").rev;
        let all = changes(&store, &conversation, 0).await;
        assert_eq!(all.rev, end);
        let recalled = Change::Recalled { seq: 2, id: second.id };
        let expected = if other == "a" {
            vec![recalled, reading("a", 8)]
        } else {
            vec![recalled, reading("c", 4), reading("b", stands)]
        };
        assert_eq!(kinds(all.changes.clone()), expected);
        for (skipped, change) in all.changes.iter().enumerate() {
            let rest = changes(&store, &conversation, change.rev).await;
            assert_eq!((rest.rev, rest.changes), (end, all.changes[skipped + 1..].to_vec()));
        }
        assert_eq!(heads(&store, &conversation).await, end);
        assert_eq!(page(&store, everything(&conversation)).await.rev, end);
    }
    assert_eq!(membership(&store, "a", "g").await.rev, heads(&store, &of_group("g")).await);
    assert_eq!(changes(&store, &direct("x", "y"), 0).await.rev, 0);
}

async fn heads(store: &impl Store, conversation: &Conversation) -> u64 {
    store.heads(vec![conversation.clone()]).await.expect("the store works")[0].rev
}

/// Since a time is since a place.
pub async fn places_in_the_log_are_about_the_time(place: &impl Place) {
    let store = place.open().await;
    let sent_at = append(&store, to_user("a", "b")).await.message.sent_at;
    let (_, logged) = read_to(&store, "b", &direct("a", "b"), 1).await;
    let after = append(&store, to_user("a", "b")).await.message.sent_at;
    let rev = i64::try_from(logged.expect("logged").rev).expect("a time");
    assert!(sent_at * 1_000 <= rev && rev <= after * 1_000 + 999, "{sent_at} {rev} {after}");
}

/// The users' other conversations are not listed, and groups are asked for by themselves.
pub async fn changed_conversations_are_found(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a", "b"]).await;
    append_all(&store, vec![to_user("b", "a"), to_user("c", "a"), to_user("a", "d"), to_group("a", "g")])
        .await;
    assert_eq!(changed(&store, "a", 0).await, []);
    let (_, of_b) = read_to(&store, "a", &direct("a", "b"), 1).await;
    let (_, of_c) = read_to(&store, "a", &direct("a", "c"), 1).await;
    read_to(&store, "b", &of_group("g"), 1).await;
    let (of_b, of_c) = (of_b.expect("logged").rev, of_c.expect("logged").rev);
    let both = [(direct("a", "b"), of_b), (direct("a", "c"), of_c)];
    assert_eq!(changed(&store, "a", 0).await, both);
    assert_eq!(changed(&store, "b", 0).await, both[..1]);
    assert_eq!(changed(&store, "d", 0).await, []);
    assert_eq!(changed(&store, "a", of_b).await.len(), usize::from(of_c > of_b));
    assert_eq!(changed(&store, "b", of_b).await, []);
}

async fn changed(store: &impl Store, name: &str, after: u64) -> Vec<(Conversation, u64)> {
    let mut found = store.changed_since(&user(name), after).await.expect("the store works");
    found.sort_unstable();
    found
}

/// Of both users, and of nobody for a group; a mark that does not move bumps nothing.
pub async fn a_logged_reading_bumps_inboxes(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a", "b"]).await;
    append_all(&store, vec![to_user("a", "b"), to_group("a", "g")]).await;
    let versions = async || (inbox_version(&store, "a").await, inbox_version(&store, "b").await);
    let before = versions().await;
    read_to(&store, "b", &direct("a", "b"), 1).await;
    let now = versions().await;
    assert!(now.0 > before.0 && now.1 > before.1);
    read_to(&store, "b", &of_group("g"), 1).await;
    assert_eq!(versions().await, now);
}

/// As of an append.
pub async fn a_change_names_whom_to_tell(place: &impl Place) {
    let store = place.open().await;
    let (one, two) = (node("spear-1", 1), node("spear-2", 1));
    make_group(&store, "g", ["a", "b"]).await;
    append_all(&store, vec![to_user("a", "b"), to_group("a", "g")]).await;
    connect(&store, &key("a", "phone"), &one).await;
    connect(&store, &key("b", "phone"), &two).await;
    let (_, logged) = read_to(&store, "b", &direct("a", "b"), 1).await;
    let Routing::Direct(mut nodes) = logged.expect("logged").routing else { panic!("two users") };
    nodes.sort_unstable();
    assert_eq!(nodes, [one.clone(), two]);
    let interest = vec![crate::InterestChange { group: group("g"), interested: true }];
    store.set_interest(&one, interest).await.expect("the store works");
    let (version, _) = store.routing(vec![group("g")]).await.expect("the store works").remove(0);
    let (_, logged) = read_to(&store, "b", &of_group("g"), 1).await;
    assert_eq!(logged.expect("logged").routing, Routing::Group { version });
}

/// The same mark from many sides is logged once.
pub async fn concurrent_marks_move_once(place: &impl Place) {
    let store = Arc::new(place.open().await);
    append_all(&*store, (0..20).map(|_| to_user("a", "b")).collect()).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut moves = 0;
                for seq in 1..=20 {
                    let marked = read(&*store, mark("b", &direct("a", "b"), seq)).await.expect("not refused");
                    moves += usize::from(marked.moved);
                }
                moves
            })
        })
        .collect();
    let mut moves = 0;
    for task in tasks {
        moves += task.await.expect("the task works");
    }
    assert!((1..=20).contains(&moves), "{moves}");
    assert_eq!(kinds(changes(&*store, &direct("a", "b"), 0).await.changes), [reading("b", 20)]);
}
