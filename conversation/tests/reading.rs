//! Who may read what, and the list of conversations.

#[allow(dead_code, missing_docs, unreachable_pub)]
mod support;

use conversation::{HistoryPage, HistoryRequest, Limits, OverviewRequest, Reader};
use support::{Fixture, to, user};
use wire::{Code, Conversation, Destination};

fn request(conversation: &Conversation) -> HistoryRequest {
    HistoryRequest { conversation: conversation.clone(), after: None, before: None, limit: None }
}

fn seqs(page: &HistoryPage) -> Vec<u64> {
    page.messages.iter().map(|message| message.seq).collect()
}

#[tokio::test]
async fn history_is_paged_from_either_end() {
    let fixture = Fixture::new(Limits::default()).await;
    for n in 0..10 {
        fixture.send("alice", to("bob"), &n.to_string()).await.expect("stored");
    }
    let conversation = Conversation::direct(user("alice"), user("bob"));
    let read = async |after, before, limit| {
        let request = HistoryRequest { after, before, limit, ..request(&conversation) };
        fixture.conversations.history(&Reader::User(user("bob")), request).await.expect("his own")
    };
    let newest = read(None, None, Some(3)).await;
    assert_eq!((seqs(&newest), newest.more, newest.last_seq), (vec![8, 9, 10], true, 10));
    let older = read(None, Some(8), Some(3)).await;
    assert_eq!(seqs(&older), [5, 6, 7]);
    let oldest = read(Some(0), None, Some(3)).await;
    assert_eq!((seqs(&oldest), oldest.more), (vec![1, 2, 3], true));
    let between = read(Some(8), Some(10), None).await;
    assert_eq!((seqs(&between), between.more), (vec![9], false));
}

#[tokio::test]
async fn nobody_reads_what_is_not_theirs() {
    let fixture = Fixture::new(Limits::default()).await;
    fixture.send("alice", to("bob"), "1").await.expect("stored");
    let direct = request(&Conversation::direct(user("alice"), user("bob")));
    let group = request(&Conversation::Group(fixture.group("team", &["alice"]).await));
    let eve = Reader::User(user("eve"));
    let code = async |request| fixture.conversations.history(&eve, request).await.expect_err("refused").code;
    assert_eq!(code(direct.clone()).await, Code::Forbidden);
    assert_eq!(code(group).await, Code::NotMember);
    let back_end = fixture.conversations.history(&Reader::BackEnd, direct).await.expect("everything");
    assert_eq!(seqs(&back_end), [1]);
}

#[tokio::test]
async fn of_a_group_one_reads_what_was_sent_while_one_was_a_member() {
    let fixture = Fixture::new(Limits::default()).await;
    let group = fixture.group("team", &["alice"]).await;
    let everybody = Destination::Group(group.clone());
    let send = async || fixture.send("alice", everybody.clone(), "1").await.expect("stored");
    send().await;
    fixture.conversations.add_members(&group, vec![user("bob")]).await.expect("added");
    send().await;
    fixture.conversations.remove_members(&group, vec![user("bob")]).await.expect("removed");
    send().await;
    let bob = Reader::User(user("bob"));
    let conversation = Conversation::Group(group.clone());
    let page = fixture.conversations.history(&bob, request(&conversation)).await.expect("a member once");
    assert_eq!((seqs(&page), page.last_seq), (vec![2], 2));
    fixture.conversations.add_members(&group, vec![user("bob")]).await.expect("added");
    send().await;
    let page = fixture.conversations.history(&bob, request(&conversation)).await.expect("a member");
    assert_eq!((seqs(&page), page.last_seq), (vec![2, 4], 4));
}

#[tokio::test]
async fn conversations_come_most_recent_first_with_what_is_unread() {
    let fixture = Fixture::new(Limits::default()).await;
    let group = fixture.group("team", &["alice", "bob"]).await;
    fixture.send("carol", to("bob"), "1").await.expect("stored");
    fixture.send("carol", to("bob"), "2").await.expect("stored");
    fixture.send("bob", to("alice"), "3").await.expect("stored");
    fixture.send("alice", to("bob"), "4").await.expect("stored");
    fixture.send("alice", Destination::Group(group.clone()), "5").await.expect("stored");

    let mut cursor = None;
    let mut listed = Vec::new();
    loop {
        let request = OverviewRequest { cursor, limit: Some(1) };
        let page = fixture.conversations.overview(&user("bob"), request).await.expect("his own");
        assert!(page.conversations.len() <= 1);
        listed.extend(page.conversations);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    listed.sort_by_key(|summary| summary.conversation.clone());
    let found: Vec<_> = listed
        .iter()
        .map(|each| {
            (each.conversation.to_string(), each.last_seq, each.read_seq, each.unread, each.peer_read_seq)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("u:alice:bob".to_owned(), 2, 1, 1, Some(2)),
            ("u:bob:carol".to_owned(), 2, 0, 2, Some(2)),
            ("g:team".to_owned(), 1, 0, 1, None),
        ]
    );
    let last = listed[0].last_message.as_ref().expect("it is kept");
    assert_eq!(last.body.get(), "4");
}

#[tokio::test]
async fn a_cursor_that_is_not_ours_is_refused() {
    let fixture = Fixture::new(Limits::default()).await;
    let request = OverviewRequest { cursor: Some("x".into()), limit: None };
    let refusal = fixture.conversations.overview(&user("bob"), request).await.expect_err("refused");
    assert_eq!(refusal.code, Code::BadRequest);
}
