//! Tasks that append without a pause, and what they were told.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use store::{
    Append, Messages as _, RedisStore, StoreError,
    conformance::support::{
        assert_contiguous, direct, make_group, of_group, read_all, to_group, to_user, with_cid,
    },
};
use tokio::{task::JoinHandle, time};
use wire::{Conversation, MessageId};

use super::until;

const TASKS: usize = 8;
/// Before a batch is sent again that the store could not take.
const AGAIN: Duration = Duration::from_millis(20);

/// By conversation and `seq`: the id.
type Acknowledged = HashMap<(Conversation, u64), MessageId>;

/// Tasks that append to two users and a group.
pub(crate) struct Load {
    acknowledged: Arc<Mutex<Acknowledged>>,
    failed: Arc<Mutex<HashSet<MessageId>>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Each of the stores is a node's; the tasks share them.
    pub(crate) async fn start(stores: &[Arc<RedisStore>]) -> Self {
        make_group(&*stores[0], "g", ["a"]).await;
        let mut load = Self {
            acknowledged: Arc::default(),
            failed: Arc::default(),
            stop: Arc::default(),
            tasks: Vec::new(),
        };
        for (task, store) in (0..TASKS).zip(stores.iter().cycle()) {
            let (store, stop) = (store.clone(), load.stop.clone());
            let (acknowledged, failed) = (load.acknowledged.clone(), load.failed.clone());
            load.tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    append(&store, task, &acknowledged, &failed).await;
                }
            }));
        }
        load
    }

    /// Waits until this many more messages were acknowledged.
    pub(crate) async fn acknowledges(&self, more: usize) {
        let wanted = self.acknowledged.lock().len() + more;
        until("appends go on", async || self.acknowledged.lock().len() >= wanted).await;
    }

    /// How many batches were not taken at first.
    pub(crate) fn failures(&self) -> usize {
        self.failed.lock().len()
    }

    /// Ends, and asserts that everything acknowledged is there, in its place, and nothing twice.
    pub(crate) async fn assert_nothing_lost(self, store: &RedisStore) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no seq was given twice");
        }
        // It may have been the other node's that went on.
        until("the store goes on", async || store.heads(vec![of_group("g")]).await.is_ok()).await;
        let acknowledged = self.acknowledged.lock().clone();
        let mut found = 0;
        for conversation in [direct("a", "b"), direct("a", "c"), of_group("g")] {
            let stored = read_all(store, &conversation).await;
            assert_contiguous(&stored);
            for message in stored {
                let Some(id) = acknowledged.get(&(conversation.clone(), message.seq)) else { continue };
                assert_eq!(message.id, *id, "{conversation} {}", message.seq);
                found += 1;
            }
        }
        assert_eq!(found, acknowledged.len(), "everything acknowledged is there");
        println!("{found} acknowledged, {} batches sent again", self.failed.lock().len());
    }
}

/// One batch, until it is taken. Every other task sends another message instead, as a client that gives up does.
async fn append(
    store: &RedisStore,
    task: usize,
    acknowledged: &Mutex<Acknowledged>,
    failed: &Mutex<HashSet<MessageId>>,
) {
    let batch: Vec<Append> = [to_user("a", "b"), to_group("a", "g"), to_user("c", "a")]
        .into_iter()
        .take(1 + task % 3)
        .map(|append| with_cid(&append.id.to_string(), append))
        .collect();
    loop {
        match store.append(batch.clone()).await {
            Ok(answers) => {
                let mut acknowledged = acknowledged.lock();
                for (answer, sent) in answers.into_iter().zip(&batch) {
                    let message = answer.expect("the message is taken").message;
                    assert_eq!(message.id, sent.id);
                    let before = acknowledged.insert((message.conversation.clone(), message.seq), message.id);
                    assert_eq!(before, None, "{} {} was given before", message.conversation, message.seq);
                }
                return;
            }
            Err(StoreError::Unavailable(_)) => {
                failed.lock().insert(batch[0].id);
                time::sleep(AGAIN).await;
                if task.is_multiple_of(2) {
                    return;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}
