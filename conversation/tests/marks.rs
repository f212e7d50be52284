//! Who may read and recall, and who is told.

#[allow(dead_code, missing_docs, unreachable_pub)]
mod support;

use conversation::{HistoryRequest, Limits, ReadRequest, Reader, RecallRequest, Refusal};
use store::Author;
use support::{Fixture, to, user};
use wire::{Change, ChangeHint, Code, Conversation, Destination, Payload};

fn limits() -> Limits {
    Limits { receipt_members: 2, ..Limits::default() }
}

async fn read(fixture: &Fixture, name: &str, conversation: &Conversation, seq: u64) -> Result<(), Refusal> {
    let request = ReadRequest { user: user(name), session: 7, conversation: conversation.clone(), seq };
    fixture.conversations.read(request).await
}

async fn recall(fixture: &Fixture, name: &str, conversation: &Conversation, seq: u64) -> Result<(), Refusal> {
    let author = Author { device: None, epoch: 0, session: 7 };
    let request = RecallRequest { user: user(name), author, conversation: conversation.clone(), seq };
    fixture.conversations.recall(request).await
}

/// The next hint that is about a change.
async fn change(fixture: &mut Fixture) -> ChangeHint {
    loop {
        if let Payload::Changed(hint) = fixture.hint().await {
            return hint;
        }
    }
}

#[tokio::test]
async fn the_nodes_of_both_are_told_what_was_read_and_recalled() {
    let mut fixture = Fixture::new(limits()).await;
    fixture.connect("bob").await;
    let sent = fixture.send("alice", to("bob"), "1").await.expect("stored");
    read(&fixture, "bob", &sent.conversation, 9).await.expect("read");
    let first = change(&mut fixture).await;
    assert_eq!(first.change, Change::Read { user: user("bob"), read_seq: 1 });
    assert_eq!((first.origin_session, first.previous_rev, first.audience), (7, 0, None));
    // What does not move is not told.
    read(&fixture, "bob", &sent.conversation, 1).await.expect("read");
    recall(&fixture, "alice", &sent.conversation, 1).await.expect("recalled");
    let second = change(&mut fixture).await;
    assert_eq!(second.change, Change::Recalled { seq: 1, id: sent.id });
    assert_eq!((second.origin_session, second.previous_rev), (0, first.rev));
    let request = HistoryRequest { conversation: sent.conversation, after: None, before: None, limit: None };
    let page = fixture.conversations.history(&Reader::BackEnd, request).await.expect("everything");
    assert_eq!(page.messages[0].body.get(), "null");
}

#[tokio::test]
async fn in_a_large_group_only_the_readers_own_nodes_are_told() {
    let mut fixture = Fixture::new(limits()).await;
    fixture.connect("bob").await;
    let group = fixture.group("large", &["alice", "bob", "carol"]).await;
    fixture.send("alice", Destination::Group(group.clone()), "1").await.expect("stored");
    let conversation = Conversation::Group(group);
    // Nobody is told of this one: alice is not here.
    fixture.send("carol", Destination::Group("large".parse().expect("a name")), "2").await.expect("stored");
    read(&fixture, "alice", &conversation, 2).await.expect("read");
    read(&fixture, "bob", &conversation, 2).await.expect("read");
    let hint = change(&mut fixture).await;
    assert_eq!(hint.change, Change::Read { user: user("bob"), read_seq: 2 });
    assert_eq!((hint.rev, hint.audience), (0, Some(user("bob"))));
}

#[tokio::test]
async fn what_is_not_ones_own_is_refused() {
    let fixture = Fixture::new(Limits { recall_window_ms: 0, ..limits() }).await;
    let direct = fixture.send("alice", to("bob"), "1").await.expect("stored").conversation;
    let group = fixture.group("team", &["alice", "bob"]).await;
    fixture.send("alice", Destination::Group(group.clone()), "1").await.expect("stored");
    fixture.conversations.add_members(&group, vec![user("carol")]).await.expect("added");
    let group = Conversation::Group(group);
    let code = |outcome: Result<(), Refusal>| outcome.expect_err("refused").code;
    assert_eq!(code(read(&fixture, "eve", &direct, 1).await), Code::Forbidden);
    assert_eq!(code(read(&fixture, "eve", &group, 1).await), Code::NotMember);
    assert_eq!(code(recall(&fixture, "eve", &direct, 1).await), Code::Forbidden);
    assert_eq!(code(recall(&fixture, "eve", &group, 1).await), Code::NotMember);
    assert_eq!(code(recall(&fixture, "bob", &direct, 1).await), Code::Forbidden);
    assert_eq!(code(recall(&fixture, "carol", &group, 1).await), Code::NotFound, "she does not see it");
    assert_eq!(code(recall(&fixture, "alice", &direct, 2).await), Code::NotFound);
    assert_eq!(code(recall(&fixture, "alice", &direct, 1).await), Code::Forbidden, "the window is over");
}
