//! Names, messages and short calls for the cases. Everything here panics where a test should fail.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::value::RawValue;
use wire::{Conversation, Destination, Device, Group, Incarnation, Message, MessageId, NodeRef, User};

use crate::{
    Append, AppendRefusal, Appended, Author, ChangeList, Connect, Connected, DeviceKey, DeviceLimits,
    Direction, GroupRecord, Inbox, Page, PageRequest, Recall, RecallDone, RecallRefusal, Store, UserGroup,
};

/// The traits whose methods the cases call.
pub use crate::{Changes, Devices, Groups, Messages};

/// The most messages that one page may hold.
pub const MANY: usize = 1_000;

/// A user's name.
pub fn user(name: &str) -> User {
    User::new(name).expect("a user's name")
}

/// Several users' names.
pub fn users<const N: usize>(names: [&str; N]) -> Vec<User> {
    names.into_iter().map(user).collect()
}

/// A group's name.
pub fn group(name: &str) -> Group {
    Group::new(name).expect("a group's name")
}

/// The conversation of two users.
pub fn direct(one: &str, other: &str) -> Conversation {
    Conversation::direct(user(one), user(other))
}

/// The conversation of a group.
pub fn of_group(name: &str) -> Conversation {
    Conversation::Group(group(name))
}

/// A device of a user.
pub fn key(name: &str, device: &str) -> DeviceKey {
    DeviceKey { user: user(name), device: Device::new(device).expect("a device's name") }
}

/// A start of a node.
pub fn node(id: &str, incarnation: u64) -> NodeRef {
    NodeRef { id: id.into(), incarnation: Incarnation(incarnation) }
}

/// Any JSON.
pub fn body(json: &str) -> Arc<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON").into()
}

/// An id that no other message has, greater than all before.
pub fn next_id() -> MessageId {
    static LAST: AtomicU64 = AtomicU64::new(1_000_000);
    MessageId(LAST.fetch_add(1, Ordering::Relaxed) + 1)
}

/// A message from one user to another, by a back end.
pub fn to_user(from: &str, to: &str) -> Append {
    Append {
        conversation: direct(from, to),
        id: next_id(),
        cid: None,
        from: user(from),
        author: Author { device: None, epoch: 0, session: 0 },
        to: Destination::User(user(to)),
        kind: "text".into(),
        body: body("\"hello\""),
        members_only: false,
    }
}

/// A message from a user to a group that they must be a member of.
pub fn to_group(from: &str, name: &str) -> Append {
    Append {
        conversation: of_group(name),
        to: Destination::Group(group(name)),
        members_only: true,
        ..to_user(from, from)
    }
}

/// The same with a cid.
pub fn with_cid(cid: &str, append: Append) -> Append {
    Append { cid: Some(cid.into()), ..append }
}

/// The same with a text as its body.
pub fn with_body(text: &str, append: Append) -> Append {
    let body = RawValue::from_string(serde_json::json!(text).to_string()).expect("valid JSON");
    Append { body: body.into(), ..append }
}

/// The same from a device's connection.
pub fn from_device(device: &str, epoch: u64, append: Append) -> Append {
    let device = Some(Device::new(device).expect("a device's name"));
    Append { author: Author { device, epoch, session: epoch }, ..append }
}

/// Appends one message.
pub async fn try_append(store: &impl Store, append: Append) -> Result<Appended, AppendRefusal> {
    let mut answers = store.append(vec![append]).await.expect("the store works");
    assert_eq!(answers.len(), 1, "one answer a message");
    answers.remove(0)
}

/// Appends one message that must not be refused.
pub async fn append(store: &impl Store, append: Append) -> Appended {
    try_append(store, append).await.expect("the message is taken")
}

/// Appends several messages in one batch; none may be refused.
pub async fn append_all(store: &impl Store, batch: Vec<Append>) -> Vec<Appended> {
    let answers = store.append(batch).await.expect("the store works");
    answers.into_iter().map(|answer| answer.expect("the message is taken")).collect()
}

/// Makes a group with members.
pub async fn make_group<const N: usize>(store: &impl Store, name: &str, members: [&str; N]) {
    let record =
        GroupRecord { group: group(name), open: false, name: None, owner: None, created_at: 1, members: 0 };
    store.put_group(record).await.expect("the store works");
    join(store, name, members).await;
}

/// Adds members to a group that exists.
pub async fn join<const N: usize>(store: &impl Store, name: &str, members: [&str; N]) {
    let changed = store.add_members(&group(name), users(members)).await.expect("the store works");
    assert!(changed.is_some(), "the group exists");
}

/// Removes members of a group that exists.
pub async fn leave<const N: usize>(store: &impl Store, name: &str, members: [&str; N]) {
    let changed = store.remove_members(&group(name), users(members)).await.expect("the store works");
    assert!(changed.is_some(), "the group exists");
}

/// When a user was a member of a group.
pub async fn membership(store: &impl Store, name: &str, in_group: &str) -> UserGroup {
    let mut answers = store.memberships(vec![(user(name), group(in_group))]).await.expect("the store works");
    assert_eq!(answers.len(), 1, "one answer a question");
    answers.remove(0)
}

/// Connects a device to a node.
pub async fn connect(store: &impl Store, key: &DeviceKey, node: &NodeRef) -> Connected {
    connect_within(store, DeviceLimits::default(), key, node).await
}

/// Connects a device to a node, within these bounds.
pub async fn connect_within(
    store: &impl Store,
    limits: DeviceLimits,
    key: &DeviceKey,
    node: &NodeRef,
) -> Connected {
    let batch = vec![Connect { key: key.clone(), node: node.clone(), limits }];
    let mut answers = store.connect(batch).await.expect("the store works");
    assert_eq!(answers.len(), 1, "one answer a connection");
    answers.remove(0)
}

/// A back end's request to recall a message within an hour.
pub fn recall_of(name: &str, conversation: &Conversation, seq: u64) -> Recall {
    Recall {
        conversation: conversation.clone(),
        seq,
        user: user(name),
        author: Author { device: None, epoch: 0, session: 0 },
        window_ms: 3_600_000,
    }
}

/// Recalls a message.
pub async fn recall(
    store: &impl Store,
    name: &str,
    conversation: &Conversation,
    seq: u64,
) -> Result<RecallDone, RecallRefusal> {
    store.recall(recall_of(name, conversation, seq)).await.expect("the store works")
}

/// A conversation's change log after a place.
pub async fn changes(store: &impl Store, conversation: &Conversation, after: u64) -> ChangeList {
    let mut lists = store.changes(vec![(conversation.clone(), after)]).await.expect("the store works");
    assert_eq!(lists.len(), 1, "one list a conversation");
    lists.remove(0)
}

/// All of a conversation, ascending, in as many pages as it takes.
pub async fn read_all(store: &impl Store, conversation: &Conversation) -> Vec<Arc<Message>> {
    let mut messages: Vec<Arc<Message>> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |message| message.seq);
        let mut page = page(store, PageRequest { after, ..everything(conversation) }).await;
        let more = page.more;
        messages.append(&mut page.messages);
        if !more {
            return messages;
        }
    }
}

/// A request for all of a conversation.
pub fn everything(conversation: &Conversation) -> PageRequest {
    PageRequest {
        conversation: conversation.clone(),
        after: 0,
        before: u64::MAX,
        limit: MANY,
        max_bytes: usize::MAX,
        direction: Direction::Forwards,
    }
}

/// One page.
pub async fn page(store: &impl Store, request: PageRequest) -> Page {
    let mut pages = store.pages(vec![request]).await.expect("the store works");
    assert_eq!(pages.len(), 1, "one page a request");
    pages.remove(0)
}

/// The `seq` of each message.
pub fn seqs(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| message.seq).collect()
}

/// A user's inbox.
pub async fn inbox(store: &impl Store, name: &str) -> Inbox {
    store.inbox(&user(name)).await.expect("the store works")
}

/// The version of a user's inbox.
pub async fn inbox_version(store: &impl Store, name: &str) -> u64 {
    let versions = store.inbox_versions(vec![user(name)]).await.expect("the store works");
    assert_eq!(versions.len(), 1, "one version a user");
    versions[0]
}

/// Asserts that the messages are 1, 2, 3 … without holes, with ids that differ.
pub fn assert_contiguous(messages: &[Arc<Message>]) {
    let expected: Vec<u64> = (1..=messages.len() as u64).collect();
    assert_eq!(seqs(messages), expected, "seq has no holes");
    let mut ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), messages.len(), "nothing is stored twice");
}
