//! What waits in a share: pointers become messages and changes of presence.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use conversation::Presence;
use roster::Snapshot;
use store::{Consumer, Direction, OutboxEntry, PageRequest, Pointer, Store, StoreError, Told};
use tokio::sync::watch;
use wire::{Conversation, Message, User};

/// Bytes of bodies that one page of messages holds, roughly.
const PAGE_BYTES: usize = 1 << 20;

/// An entry of an outbox, and what became of it.
pub(crate) struct Item {
    /// Of which partition.
    pub(crate) partition: u16,
    /// Its place there; 0 where no entry says so, but the roster.
    pub(crate) place: u64,
    /// What is to be told.
    pub(crate) what: What,
}

/// What an entry comes to.
pub(crate) enum What {
    /// A message.
    Message(Arc<Message>),
    /// A user has come or gone, as it is to be remembered.
    Presence(User, Option<Told>, Presence),
    /// Nothing is to be told, but this is to be remembered.
    Remember(User, Option<Told>),
    /// A message that was recalled since: only its place is left.
    Recalled(Arc<Message>),
    /// The message was trimmed.
    Gone,
    /// Nothing has changed.
    Nothing,
}

/// Reads what pointers lead to.
pub(crate) struct Reader {
    consumer: Consumer,
    store: Arc<dyn Store>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
}

impl Reader {
    pub(crate) fn new(
        consumer: Consumer,
        store: Arc<dyn Store>,
        snapshot: watch::Receiver<Arc<Snapshot>>,
    ) -> Self {
        Self { consumer, store, snapshot }
    }

    /// What these entries come to, in their order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn read(&self, entries: &[(u16, OutboxEntry)]) -> Result<Vec<Item>, StoreError> {
        let mut messages =
            if self.consumer.messages { self.messages(entries).await? } else { BTreeMap::new() };
        let users: BTreeSet<&User> = entries
            .iter()
            .filter_map(|(_, entry)| match &entry.pointer {
                Pointer::Presence(user) => Some(user),
                Pointer::Message { .. } => None,
            })
            .collect();
        let mut presences = self.presences(users.into_iter().cloned().collect()).await?;
        let what =
            |entry: &OutboxEntry| match &entry.pointer {
                // Written down for another consumer.
                Pointer::Message { .. } if !self.consumer.messages => What::Nothing,
                Pointer::Message { conversation, seq } => messages
                    .remove(&(conversation.clone(), *seq))
                    .map_or(What::Gone, |message| match message.recalled_at {
                        None => What::Message(message),
                        Some(_) => What::Recalled(message),
                    }),
                // Once is enough: it is as the user is now.
                Pointer::Presence(user) => presences.remove(user).unwrap_or(What::Nothing),
            };
        let mut what = what;
        let item = |(partition, entry): &(u16, OutboxEntry)| Item {
            partition: *partition,
            place: entry.place,
            what: what(entry),
        };
        Ok(entries.iter().map(item).collect())
    }

    async fn messages(
        &self,
        entries: &[(u16, OutboxEntry)],
    ) -> Result<BTreeMap<(Conversation, u64), Arc<Message>>, StoreError> {
        let mut spans = BTreeMap::<&Conversation, (u64, u64)>::new();
        for (_, entry) in entries {
            if let Pointer::Message { conversation, seq } = &entry.pointer {
                let span = spans.entry(conversation).or_insert((*seq, *seq));
                *span = (span.0.min(*seq), span.1.max(*seq));
            }
        }
        let mut requests: Vec<PageRequest> = spans
            .into_iter()
            .map(|(conversation, (first, last))| PageRequest {
                conversation: conversation.clone(),
                after: first - 1,
                before: last + 1,
                limit: entries.len().clamp(1, 1_000),
                max_bytes: PAGE_BYTES,
                direction: Direction::Forwards,
            })
            .collect();
        let mut found = BTreeMap::new();
        while !requests.is_empty() {
            let pages = self.store.pages(requests.clone()).await?;
            let mut rest = Vec::new();
            for (mut request, page) in requests.into_iter().zip(pages) {
                if let Some(last) = page.messages.last().filter(|_| page.more) {
                    request.after = last.seq;
                    rest.push(request);
                }
                let of = |message: Arc<Message>| ((message.conversation.clone(), message.seq), message);
                found.extend(page.messages.into_iter().map(of));
            }
            requests = rest;
        }
        Ok(found)
    }

    /// What is to be told of users, as they are now; who is not in it is as they were told.
    async fn presences(&self, users: Vec<User>) -> Result<BTreeMap<User, What>, StoreError> {
        if users.is_empty() || !self.consumer.presence {
            return Ok(BTreeMap::new());
        }
        let told = self.store.told(&self.consumer.name, &users).await?;
        self.compare(users.into_iter().zip(told).collect()).await
    }

    /// What is to be told of users of a partition because nodes have come or gone, and where further ones are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn sweep(&self, partition: u16, from: &str) -> Result<Presences, StoreError> {
        let page = self.store.told_page(&self.consumer.name, partition, from).await?;
        let users = page.users.into_iter().map(|(user, told)| (user, Some(told))).collect();
        let changed = self.compare(users).await?.into_values();
        let items = changed.map(|what| Item { partition, place: 0, what }).collect();
        Ok(Presences { items, next: page.next })
    }

    async fn compare(&self, told: Vec<(User, Option<Told>)>) -> Result<BTreeMap<User, What>, StoreError> {
        if told.is_empty() {
            return Ok(BTreeMap::new());
        }
        let known = self.store.presence(told.iter().map(|(user, _)| user.clone()).collect()).await?;
        let snapshot = self.snapshot.borrow().clone();
        let mut changed = BTreeMap::new();
        for ((user, before), known) in told.into_iter().zip(known) {
            let is_anywhere = !known.devices.is_empty();
            let presence = Presence::new(known, &snapshot);
            // A node that is not in the roster may come back with its connections, or not be there yet: no entry says so.
            let now = match presence.online {
                true => Some(Told::Online),
                false if is_anywhere => Some(Told::Lost),
                false => None,
            };
            if now == before {
                continue;
            }
            let was_online = before == Some(Told::Online);
            let what = match presence.online == was_online {
                true => What::Remember(user.clone(), now),
                false => What::Presence(user.clone(), now, presence),
            };
            changed.insert(user, what);
        }
        Ok(changed)
    }
}

/// What a sweep has found.
pub(crate) struct Presences {
    /// What is to be told or remembered.
    pub(crate) items: Vec<Item>,
    /// Where the next ones are, if there are more.
    pub(crate) next: Option<String>,
}
