//! [`Outbox`] in Redis: a stream a partition, and beside it how far each consumer is.
//!
//! While nothing happens, a look at partitions costs two commands each: one script for all on a single server, one a partition in a
//! cluster. A new consumer, or one that goes, touches every partition.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use redis::Value;
use redis_link::Call;
use wire::User;

use super::{
    RedisStore,
    failure::unreadable,
    keys::{PARTITIONS, Partition},
    script,
    shards::{Argument, ITEMS, Item, number, sort, text},
    values,
};
use crate::{
    Confirm, Consumer, Outbox, OutboxEntry, OutboxPage, Pointer, StoreError, Told, ToldPage, outbox::Wanted,
};

/// Users that one page of those told holds, roughly.
const TOLD: usize = 500;

/// How [`Told`] is stored.
const ONLINE: &str = "1";
const LOST: &str = "0";

/// What this process writes down: see [`Outbox::see_consumers`].
#[derive(Debug, Default)]
pub(super) struct Seen {
    messages: AtomicU64,
    presence: AtomicU64,
}

impl Seen {
    fn set(&self, wanted: Wanted) {
        self.messages.store(wanted.messages, Ordering::Relaxed);
        self.presence.store(wanted.presence, Ordering::Relaxed);
    }

    fn messages(&self) -> Option<u64> {
        Some(self.messages.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }

    fn presence(&self) -> Option<u64> {
        Some(self.presence.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }
}

/// What a script is told: the bound, or nothing where nothing is written down.
pub(super) fn bound<'a>(most: Option<u64>) -> Argument<'a> {
    most.map_or_else(|| text(""), number)
}

#[async_trait]
impl Outbox for RedisStore {
    fn partitions(&self) -> u16 {
        PARTITIONS
    }

    async fn register(&self, consumer: &Consumer) -> Result<(), StoreError> {
        let Consumer { name, messages, presence, most } = consumer;
        let items = self.keys.partitions().map(|partition| Item {
            keys: vec![partition.outbox(), partition.confirmed()],
            partition,
            arguments: Vec::new(),
        });
        self.change(script!("outbox_register.lua"), &[text(name)], items.collect()).await?;
        // Last: what is written down from now on has a place in every partition.
        let key = self.keys.consumers();
        let mut command = redis::cmd("HSET");
        let wants = format!("{} {} {most}", u8::from(*messages), u8::from(*presence));
        command.arg(&key).arg(&**name).arg(wants);
        self.write(vec![Call::command(&key, command)]).await?;
        self.look_who_consumes().await
    }

    async fn unregister(&self, name: &str) -> Result<(), StoreError> {
        let key = self.keys.consumers();
        let mut command = redis::cmd("HDEL");
        command.arg(&key).arg(name);
        self.write(vec![Call::command(&key, command)]).await?;
        self.look_who_consumes().await?;
        let items = self.keys.partitions().map(|partition| Item {
            keys: vec![partition.outbox(), partition.confirmed(), partition.told(name)],
            partition,
            arguments: Vec::new(),
        });
        self.change(script!("outbox_unregister.lua"), &[text(name)], items.collect()).await.map(drop)
    }

    async fn see_consumers(&self) -> Result<(), StoreError> {
        self.check_schema().await?;
        self.look_who_consumes().await
    }

    async fn claim(&self, name: &str, partitions: &[u16]) -> Result<Vec<u64>, StoreError> {
        let items = self.of(partitions).map(|partition| Item {
            keys: vec![partition.confirmed()],
            partition,
            arguments: Vec::new(),
        });
        let answers = self
            .change(
                script!("allow_oom.lua", "version.lua", "outbox_claim.lua"),
                &[text(name)],
                items.collect(),
            )
            .await?;
        answers.into_iter().map(values::unsigned).collect()
    }

    async fn waiting(
        &self,
        name: &str,
        partitions: &[u16],
        limit: usize,
    ) -> Result<Vec<OutboxPage>, StoreError> {
        let item = |partition: Partition| Item {
            keys: vec![partition.outbox(), partition.confirmed()],
            partition,
            arguments: Vec::new(),
        };
        let items = self.of(partitions).map(item);
        let peeked = self.shards(script!("outbox_peek.lua"), &[text(name)], items.collect());
        let answers = sort(self.read(peeked.calls).await?, peeked.items)?;
        let mut busy = Vec::new();
        for (partition, waiting) in partitions.iter().zip(answers) {
            if values::signed(waiting)? > 0 {
                busy.push(*partition);
            }
        }
        let first = [text(name), number(limit as u64)];
        let script = script!("fence.lua", "outbox_read.lua");
        let answers = self.ask(script, &first, self.of(&busy).map(item).collect(), ITEMS).await?;
        busy.into_iter().zip(answers).map(|(partition, answer)| page(partition, answer)).collect()
    }

    async fn confirm(&self, name: &str, confirms: Vec<Confirm>) -> Result<Vec<bool>, StoreError> {
        let items = confirms.iter().map(|confirm| {
            let partition = self.keys.partition(confirm.partition);
            let mut arguments = vec![number(confirm.term), number(confirm.place)];
            arguments.push(number(confirm.told.len() as u64));
            for (user, told) in &confirm.told {
                let told = match told {
                    Some(Told::Online) => ONLINE,
                    Some(Told::Lost) => LOST,
                    None => "",
                };
                arguments.extend([text(user.as_str()), text(told)]);
            }
            let keys = vec![partition.outbox(), partition.confirmed(), partition.told(name)];
            Item { partition, keys, arguments }
        });
        let answers = self
            .change(script!("allow_oom.lua", "outbox_confirm.lua"), &[text(name)], items.collect())
            .await?;
        answers.into_iter().map(|answer| Ok(values::unsigned(answer)? == 1)).collect()
    }

    async fn told(&self, name: &str, users: &[User]) -> Result<Vec<Option<Told>>, StoreError> {
        let calls = users.iter().map(|user| {
            let key = self.keys.user(user).partition.told(name);
            let mut command = redis::cmd("HGET");
            command.arg(&key).arg(user.as_str());
            Call::command(key, command)
        });
        let answers = self.read(calls.collect()).await?;
        answers.into_iter().map(|answer| values::optional(answer, told)).collect()
    }

    async fn told_page(&self, name: &str, partition: u16, from: &str) -> Result<ToldPage, StoreError> {
        let key = self.keys.partition(partition).told(name);
        let mut command = redis::cmd("HSCAN");
        command.arg(&key).arg(if from.is_empty() { "0" } else { from }).arg("COUNT").arg(TOLD);
        let answers = self.read(vec![Call::command(key, command)]).await?;
        let mut answer = values::list(values::next(&mut answers.into_iter())?)?.into_iter();
        let next = values::text(values::next(&mut answer)?)?;
        let users = values::pairs(values::next(&mut answer)?)?;
        let users = users.into_iter().map(|(user, state)| Ok((values::parsed(user)?, told(state)?)));
        Ok(ToldPage { users: users.collect::<Result<_, StoreError>>()?, next: (next != "0").then_some(next) })
    }
}

impl RedisStore {
    /// The most entries of a partition, where messages are written down. The first call of a process looks before it answers.
    pub(super) async fn consumed_messages(&self) -> Result<Option<u64>, StoreError> {
        self.check_schema().await?;
        Ok(self.seen.messages())
    }

    /// The same for changes of users' connections.
    pub(super) async fn consumed_presence(&self) -> Result<Option<u64>, StoreError> {
        self.check_schema().await?;
        Ok(self.seen.presence())
    }

    fn of(&self, partitions: &[u16]) -> impl Iterator<Item = Partition> {
        partitions.iter().map(|number| self.keys.partition(*number))
    }

    pub(super) async fn look_who_consumes(&self) -> Result<(), StoreError> {
        let key = self.keys.consumers();
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let answers = self.run(vec![Call::command(&key, command)], false).await?;
        let mut consumers = Vec::new();
        for (name, wants) in values::pairs(values::next(&mut answers.into_iter())?)? {
            consumers.push(consumer(&values::text(name)?, &values::text(wants)?)?);
        }
        self.seen.set(Wanted::by(consumers, PARTITIONS));
        Ok(())
    }
}

fn told(state: Value) -> Result<Told, StoreError> {
    match &*values::text(state)? {
        ONLINE => Ok(Told::Online),
        LOST => Ok(Told::Lost),
        other => Err(unreadable("what a consumer was told of a user", &other)),
    }
}

/// As [`Outbox::register`] writes it.
fn consumer(name: &str, wants: &str) -> Result<Consumer, StoreError> {
    let read = || {
        let mut parts = wants.split(' ');
        let mut flag = || Some(parts.next()? == "1");
        let (messages, presence) = (flag()?, flag()?);
        Some(Consumer { name: name.into(), messages, presence, most: parts.next()?.parse().ok()? })
    };
    read().ok_or_else(|| unreadable(&format!("what {name} consumes"), &wants))
}

fn page(partition: u16, answer: Value) -> Result<OutboxPage, StoreError> {
    let mut parts = values::list(answer)?.into_iter();
    let confirmed = values::unsigned(values::next(&mut parts)?)?;
    let last = values::unsigned(values::next(&mut parts)?)?;
    let entries = values::list(values::next(&mut parts)?)?;
    let entries = entries.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let dropped = entries.first().map_or(0, |first| first.place.saturating_sub(confirmed + 1));
    Ok(OutboxPage { partition, entries, waiting: last.saturating_sub(confirmed + dropped), dropped })
}

/// `[0-<place>, [m, <seq> <conversation>]]` or `[0-<place>, [u, <user>]]`.
fn entry(value: Value) -> Result<OutboxEntry, StoreError> {
    let mut parts = values::list(value)?.into_iter();
    let id = values::text(values::next(&mut parts)?)?;
    let place = id.strip_prefix("0-").ok_or_else(|| unreadable("a place in an outbox", &id))?;
    let place = values::parse(place)?;
    let mut fields = values::list(values::next(&mut parts)?)?.into_iter();
    let kind = values::text(values::next(&mut fields)?)?;
    let what = values::text(values::next(&mut fields)?)?;
    let broken = || unreadable("an entry of an outbox", &format_args!("{kind} {what}"));
    let pointer = match &*kind {
        "m" => {
            let (seq, conversation) = what.split_once(' ').ok_or_else(broken)?;
            let conversation = conversation.parse().map_err(|_| broken())?;
            Pointer::Message { conversation, seq: values::parse(seq)? }
        }
        "u" => Pointer::Presence(values::parse(&what)?),
        _ => return Err(broken()),
    };
    Ok(OutboxEntry { place, pointer })
}
