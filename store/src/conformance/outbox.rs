//! Outboxes: what a consumer has not been given yet.

use std::collections::BTreeMap;

use wire::{Conversation, User};

use super::{
    Place,
    support::{
        append, append_all, connect, direct, from_device, key, make_group, node, of_group, to_group, to_user,
        try_append, user, with_cid,
    },
};
use crate::{
    Confirm, Consumer, Devices as _, Disconnect, Erasure as _, Outbox, OutboxPage, Pointer, Store, Told,
    conformance::support::Messages as _,
};

const HOOKS: &str = "hooks";

/// Enough that nothing is dropped.
const PLENTY: u64 = 10_000_000;

fn consumer(name: &str, messages: bool, presence: bool, most: u64) -> Consumer {
    Consumer { name: name.into(), messages, presence, most }
}

async fn register(store: &impl Store, consumer: Consumer) {
    store.register(&consumer).await.expect("the store works");
}

fn all(store: &impl Store) -> Vec<u16> {
    (0..store.partitions()).collect()
}

async fn waiting(store: &impl Store, name: &str) -> Vec<OutboxPage> {
    let mut pages = Vec::new();
    for partitions in all(store).chunks(64) {
        pages.extend(store.waiting(name, partitions, 10_000).await.expect("the store works"));
    }
    pages
}

/// What waits, by conversation.
fn messages(pages: &[OutboxPage]) -> BTreeMap<Conversation, Vec<u64>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for entry in pages.iter().flat_map(|page| &page.entries) {
        if let Pointer::Message { conversation, seq } = &entry.pointer {
            found.entry(conversation.clone()).or_default().push(*seq);
        }
    }
    found
}

fn users(pages: &[OutboxPage]) -> Vec<User> {
    let entries = pages.iter().flat_map(|page| &page.entries);
    entries
        .filter_map(|entry| match &entry.pointer {
            Pointer::Presence(user) => Some(user.clone()),
            Pointer::Message { .. } => None,
        })
        .collect()
}

async fn claim(store: &impl Store, name: &str, pages: &[OutboxPage]) -> Vec<u64> {
    let partitions: Vec<u16> = pages.iter().map(|page| page.partition).collect();
    store.claim(name, &partitions).await.expect("the store works")
}

fn confirm(page: &OutboxPage, term: u64, entries: usize) -> Confirm {
    let place = entries.checked_sub(1).map_or(0, |last| page.entries[last].place);
    Confirm { partition: page.partition, term, place, told: Vec::new() }
}

async fn confirm_all(store: &impl Store, name: &str) -> usize {
    let pages = waiting(store, name).await;
    let terms = claim(store, name, &pages).await;
    let confirms = pages.iter().zip(terms).map(|(page, term)| confirm(page, term, page.entries.len()));
    let answers = store.confirm(name, confirms.collect()).await.expect("the store works");
    assert!(answers.iter().all(|counts| *counts));
    pages.iter().map(|page| page.entries.len()).sum()
}

/// Nobody consumes: nothing is there, and nothing comes.
pub async fn without_a_consumer_nothing_is_written_down(place: &impl Place) {
    let store = place.open().await;
    append(&store, to_user("a", "b")).await;
    connect(&store, &key("a", "phone"), &node("spear-1", 1)).await;
    assert!(waiting(&store, HOOKS).await.is_empty());
    register(&store, consumer(HOOKS, true, true, PLENTY)).await;
    assert!(waiting(&store, HOOKS).await.is_empty(), "it begins with what comes next");
    assert_eq!(store.claim("nobody", &[0]).await.expect("the store works"), [0], "who is not known");
}

/// So that who was told of them forgets it.
pub async fn one_whose_devices_are_forgotten_is_written_down(place: &impl Place) {
    let store = place.open().await;
    connect(&store, &key("a", "phone"), &node("spear-1", 1)).await;
    register(&store, consumer(HOOKS, false, true, PLENTY)).await;
    store.forget_devices(&user("a")).await.expect("the store works");
    assert_eq!(users(&waiting(&store, HOOKS).await), [user("a")]);
}

/// Also of one batch, and while others write.
pub async fn entries_of_a_conversation_are_in_order(place: &impl Place) {
    let store = place.open().await;
    make_group(&store, "g", ["a"]).await;
    register(&store, consumer(HOOKS, true, false, PLENTY)).await;
    append_all(&store, (0..50).map(|n| to_user("a", ["b", "c", "d"][n % 3])).collect()).await;
    let (one, other) = tokio::join!(
        append_all(&store, (0..20).map(|_| to_group("a", "g")).collect()),
        append_all(&store, (0..20).map(|_| to_group("a", "g")).collect()),
    );
    assert_eq!(one.len() + other.len(), 40);
    let found = messages(&waiting(&store, HOOKS).await);
    let from_one = |count: u64| (1..=count).collect::<Vec<_>>();
    assert_eq!(found[&direct("a", "b")], from_one(17));
    assert_eq!(found[&direct("a", "d")], from_one(16));
    assert_eq!(found[&of_group("g")], from_one(40));
    assert_eq!(found.len(), 4);
}

/// What was refused, or stored before, is not written down.
pub async fn only_what_is_stored_is_written_down(place: &impl Place) {
    let store = place.open().await;
    register(&store, consumer(HOOKS, true, false, PLENTY)).await;
    let message = with_cid("c", to_user("a", "b"));
    append(&store, message.clone()).await;
    append(&store, message).await;
    let again = to_user("a", "b");
    append_all(&store, vec![again.clone(), again]).await;
    try_append(&store, to_group("a", "nowhere")).await.expect_err("there is no such group");
    assert_eq!(messages(&waiting(&store, HOOKS).await), BTreeMap::from([(direct("a", "b"), vec![1, 2])]));
}

/// Up to a place and no further; what was read and not confirmed comes again.
pub async fn what_is_confirmed_does_not_come_again(place: &impl Place) {
    let store = place.open().await;
    register(&store, consumer(HOOKS, true, false, PLENTY)).await;
    append_all(&store, (0..5).map(|_| to_user("a", "b")).collect()).await;
    let pages = waiting(&store, HOOKS).await;
    assert_eq!(pages, waiting(&store, HOOKS).await);
    assert_eq!((pages.len(), pages[0].waiting, pages[0].dropped), (1, 5, 0));
    let few = store.waiting(HOOKS, &[pages[0].partition], 2).await.expect("the store works");
    assert_eq!((few[0].entries.len(), few[0].waiting), (2, 5));
    let term = claim(&store, HOOKS, &pages).await[0];
    let answers = store.confirm(HOOKS, vec![confirm(&pages[0], term, 3)]).await;
    assert_eq!(answers.expect("the store works"), [true]);
    let left = messages(&waiting(&store, HOOKS).await);
    assert_eq!(left[&direct("a", "b")], [4, 5]);
    let back = store.confirm(HOOKS, vec![confirm(&pages[0], term, 1)]).await;
    assert_eq!(back.expect("the store works"), [true]);
    assert_eq!(messages(&waiting(&store, HOOKS).await), left, "it only goes forwards");
    assert_eq!(confirm_all(&store, HOOKS).await, 2);
    assert!(waiting(&store, HOOKS).await.is_empty());
    append(&store, to_user("a", "b")).await;
    assert_eq!(messages(&waiting(&store, HOOKS).await)[&direct("a", "b")], [6]);
}

/// Who was slow when another one took over changes nothing any more.
pub async fn an_old_term_confirms_nothing(place: &impl Place) {
    let store = place.open().await;
    register(&store, consumer(HOOKS, true, true, PLENTY)).await;
    append_all(&store, (0..3).map(|_| to_user("a", "b")).collect()).await;
    let pages = waiting(&store, HOOKS).await;
    let old = claim(&store, HOOKS, &pages).await[0];
    let new = claim(&store, HOOKS, &pages).await[0];
    assert!(new > old);
    let late = Confirm { told: vec![(user("a"), Some(Told::Online))], ..confirm(&pages[0], old, 3) };
    let answers = store.confirm(HOOKS, vec![late]).await.expect("the store works");
    assert_eq!(answers, [false]);
    assert_eq!(waiting(&store, HOOKS).await, pages);
    assert_eq!(store.told(HOOKS, &[user("a")]).await.expect("the store works"), [None]);
    let answers = store.confirm(HOOKS, vec![confirm(&pages[0], new, 3)]).await.expect("the store works");
    assert_eq!(answers, [true]);
}

/// What one has confirmed is there for the other; what both have is gone.
pub async fn each_consumer_has_its_own_place(place: &impl Place) {
    let store = place.open().await;
    register(&store, consumer(HOOKS, true, false, PLENTY)).await;
    append(&store, to_user("a", "b")).await;
    register(&store, consumer("export", true, false, PLENTY)).await;
    append(&store, to_user("a", "b")).await;
    assert_eq!(messages(&waiting(&store, HOOKS).await)[&direct("a", "b")], [1, 2]);
    assert_eq!(confirm_all(&store, HOOKS).await, 2);
    assert_eq!(messages(&waiting(&store, "export").await)[&direct("a", "b")], [2]);
    store.unregister("export").await.expect("the store works");
    assert!(waiting(&store, "export").await.is_empty());
    append(&store, to_user("a", "b")).await;
    assert_eq!(confirm_all(&store, HOOKS).await, 1);
    store.unregister(HOOKS).await.expect("the store works");
    append(&store, to_user("a", "b")).await;
    register(&store, consumer(HOOKS, true, false, PLENTY)).await;
    assert!(waiting(&store, HOOKS).await.is_empty(), "it begins anew");
}

/// At the bound the oldest go, the newest stay, and it is said how many went.
pub async fn an_outbox_is_bounded(place: &impl Place) {
    let store = place.open().await;
    register(&store, consumer(HOOKS, true, false, 300)).await;
    for _ in 0..10 {
        append_all(&store, (0..100).map(|_| to_user("a", "b")).collect()).await;
    }
    let pages = waiting(&store, HOOKS).await;
    let seqs = &messages(&pages)[&direct("a", "b")];
    assert!((100..600).contains(&seqs.len()), "{}", seqs.len());
    assert_eq!(*seqs, (1_001 - seqs.len() as u64..=1_000).collect::<Vec<_>>());
    assert_eq!((pages[0].dropped, pages[0].waiting), (1_000 - seqs.len() as u64, seqs.len() as u64));
    confirm_all(&store, HOOKS).await;
    append(&store, to_user("a", "b")).await;
    assert_eq!(waiting(&store, HOOKS).await[0].dropped, 0);
}

/// A beginning, an end, and what a node says again.
pub async fn changes_of_connections_are_written_down(place: &impl Place) {
    let store = place.open().await;
    register(&store, consumer(HOOKS, false, true, PLENTY)).await;
    append(&store, to_user("a", "b")).await;
    let (phone, spear) = (key("a", "phone"), node("spear-1", 1));
    let connected = connect(&store, &phone, &spear).await;
    append(&store, from_device("phone", connected.epoch, to_user("a", "b"))).await;
    assert_eq!(users(&waiting(&store, HOOKS).await), [user("a")]);
    assert_eq!(confirm_all(&store, HOOKS).await, 1);
    let end = |epoch| vec![Disconnect { key: phone.clone(), epoch, received: true }];
    store.disconnect(end(connected.epoch)).await.expect("the store works");
    store.disconnect(end(connected.epoch)).await.expect("the store works");
    assert_eq!(users(&waiting(&store, HOOKS).await), [user("a")], "once");
    confirm_all(&store, HOOKS).await;
    let held = crate::Held {
        key: phone.clone(),
        epoch: connected.epoch,
        born_at: connected.born_at,
        since_at: connected.since_at,
    };
    for _ in 0..2 {
        store.assert_presence(&spear, vec![held.clone()]).await.expect("the store works");
    }
    assert_eq!(users(&waiting(&store, HOOKS).await), [user("a")], "once");
}

/// By partition, page by page.
pub async fn what_was_told_of_users_is_remembered(place: &impl Place) {
    let store = place.open().await;
    register(&store, consumer(HOOKS, false, true, PLENTY)).await;
    let names: Vec<String> = (0..1_200).map(|n| format!("u{n:04}")).collect();
    for name in &names {
        connect(&store, &key(name, "phone"), &node("spear-1", 1)).await;
    }
    let pages = waiting(&store, HOOKS).await;
    let terms = claim(&store, HOOKS, &pages).await;
    let of = |page| users(std::slice::from_ref(page));
    let online = pages.iter().zip(&terms).map(|(page, term)| Confirm {
        told: of(page).into_iter().map(|user| (user, Some(Told::Online))).collect(),
        ..confirm(page, *term, page.entries.len())
    });
    let answers = store.confirm(HOOKS, online.collect()).await.expect("the store works");
    assert!(answers.iter().all(|counts| *counts));
    let told = told_pages(&store, &pages, None).await;
    assert!(told.keys().cloned().eq(names.iter().map(|name| user(name))));
    assert!(told.values().all(|state| *state == Told::Online));
    let gone = of(&pages[0])[0].clone();
    for state in [Some(Told::Lost), None] {
        let change = Confirm { told: vec![(gone.clone(), state)], ..confirm(&pages[0], terms[0], 0) };
        assert_eq!(store.confirm(HOOKS, vec![change]).await.expect("the store works"), [true]);
        let asked = [gone.clone(), user("nobody"), user(&names[0]), user(&names[1])];
        let expected = asked.iter().map(|asked| match asked {
            asked if *asked == gone => state,
            asked if asked.as_str() == "nobody" => None,
            _ => Some(Told::Online),
        });
        let expected: Vec<_> = expected.collect();
        assert_eq!(store.told(HOOKS, &asked).await.expect("the store works"), expected);
    }
    let left = told_pages(&store, &pages, Some(&terms)).await;
    assert_eq!(left.len(), names.len() - 1, "also while they are forgotten");
    assert!(told_pages(&store, &pages, None).await.is_empty());
}

/// Everything that is remembered of users; forgets each page with these terms before the next one is read.
async fn told_pages(
    store: &impl Store,
    pages: &[OutboxPage],
    forget: Option<&[u64]>,
) -> BTreeMap<User, Told> {
    let mut told = BTreeMap::new();
    for (number, page) in pages.iter().enumerate() {
        let mut from = String::new();
        loop {
            let found = store.told_page(HOOKS, page.partition, &from).await.expect("the store works");
            if let Some(terms) = forget {
                let forgotten = found.users.iter().map(|(user, _)| (user.clone(), None)).collect();
                let change = Confirm { told: forgotten, ..confirm(page, terms[number], 0) };
                assert_eq!(store.confirm(HOOKS, vec![change]).await.expect("the store works"), [true]);
            }
            told.extend(found.users);
            let Some(next) = found.next else { break };
            from = next;
        }
    }
    told
}

/// After closing and opening: who consumes, what waits, and what was confirmed.
pub async fn outboxes_are_there_again(place: &impl Place) {
    let store = place.open().await;
    register(&store, consumer(HOOKS, true, false, PLENTY)).await;
    append_all(&store, (0..3).map(|_| to_user("a", "b")).collect()).await;
    let pages = waiting(&store, HOOKS).await;
    let term = claim(&store, HOOKS, &pages).await[0];
    store.confirm(HOOKS, vec![confirm(&pages[0], term, 1)]).await.expect("the store works");
    drop(store);
    let store = place.open().await;
    // The very first call writes it down already.
    append(&store, to_user("a", "b")).await;
    assert_eq!(messages(&waiting(&store, HOOKS).await)[&direct("a", "b")], [2, 3, 4]);
    assert!(claim(&store, HOOKS, &pages).await[0] > term);
    assert_eq!(store.heads(vec![direct("a", "b")]).await.expect("the store works")[0].last_seq, 4);
}
