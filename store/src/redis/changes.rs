//! [`Changes`] in Redis.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use redis::Value;
use redis_link::Call;
use wire::{Change, Conversation, MessageId, NodeRef, User};

use super::{
    RedisStore, append,
    failure::unreadable,
    script,
    shards::{Argument, ITEMS, Item, number, text},
    values,
};
use crate::{
    CHANGES_KEPT, ChangeList, Changes, DeviceKey, Direction, Logged, LoggedChange, MarkRead, MarkRefusal,
    Marked, PageRequest, Recall, RecallDone, RecallRefusal, Routing, StoreError,
};

/// Change logs that one script reads, each of at most [`CHANGES_KEPT`]: while it does, the server does nothing else.
const LOGS: usize = 8;
/// Where the id begins and ends in the bytes of a message (`record.rs`).
const ID: std::ops::Range<usize> = 1..9;

#[async_trait]
impl Changes for RedisStore {
    async fn mark_read(&self, batch: Vec<MarkRead>) -> Result<Vec<Result<Marked, MarkRefusal>>, StoreError> {
        let items = batch.iter().map(|mark| {
            let more = vec![
                text(mark.user.as_str()),
                text(field(&mark.conversation, &mark.user)),
                number(mark.seq.min(EXACT)),
                number(mark.most_members.min(EXACT)),
            ];
            self.change_item(&mark.conversation, more)
        });
        let script = script!("version.lua", "live.lua", "head.lua", "changes.lua", "mark_read.lua");
        let answers = self.change_inboxes(script, &[number(CHANGES_KEPT as u64)], items.collect()).await?;
        let mut ran = answers
            .into_iter()
            .zip(&batch)
            .map(|(answer, mark)| Ok((&mark.conversation, marked(answer, &mark.conversation)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        if self.is_cluster() {
            let logged = ran.iter_mut().filter_map(|(of, ran)| Some((*of, &mut ran.as_mut().ok()?.logged)));
            self.note_changes(logged.collect()).await?;
        }
        let answer = |Ran { read_seq, moved, logged }: Ran| Marked {
            read_seq,
            moved,
            logged: Some(logged).filter(|logged| moved && logged.rev > 0),
        };
        Ok(ran.into_iter().map(|(_, outcome)| outcome.map(answer)).collect())
    }

    async fn recall(&self, recall: Recall) -> Result<Result<RecallDone, RecallRefusal>, StoreError> {
        let id = match self.check_recall(&recall).await? {
            Ok(id) => id,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let more = vec![number(recall.seq), number(recall.window_ms.min(EXACT))];
        let item = self.change_item(&recall.conversation, more);
        let script = script!("version.lua", "live.lua", "head.lua", "tomb.lua", "changes.lua", "recall.lua");
        let answers = self.change_inboxes(script, &[number(CHANGES_KEPT as u64)], vec![item]).await?;
        let mut logged = match values::next(&mut answers.into_iter())? {
            Value::Int(-1) => return Ok(Err(RecallRefusal::NotFound)),
            Value::Int(-4) => return Ok(Err(RecallRefusal::TooLate)),
            answer => logged(&mut values::list(answer)?.into_iter(), &recall.conversation)?,
        };
        if self.is_cluster() {
            self.note_changes(vec![(&recall.conversation, &mut logged)]).await?;
        }
        Ok(Ok(RecallDone { id, logged }))
    }

    async fn changes(&self, after: Vec<(Conversation, u64)>) -> Result<Vec<ChangeList>, StoreError> {
        let items = after.iter().map(|(conversation, rev)| {
            let keys = self.keys.conversation(conversation);
            let first = match conversation {
                Conversation::Direct(first, _) => text(first.as_str()),
                Conversation::Group(_) => text(""),
            };
            Item {
                keys: vec![keys.conv(), keys.tomb(), keys.change(), keys.read()],
                arguments: vec![first, number((*rev).min(EXACT))],
                partition: keys.partition,
            }
        });
        let script = script!("fence.lua", "list_changes.lua");
        let answers = self.ask(script, &[], items.collect(), LOGS.min(ITEMS)).await?;
        answers.into_iter().map(list).collect()
    }

    async fn changed_since(&self, user: &User, rev: u64) -> Result<Vec<(Conversation, u64)>, StoreError> {
        let keys = self.keys.user(user);
        let key = keys.changed();
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg(format!("({rev}")).arg("+inf").arg("BYSCORE").arg("WITHSCORES");
        let answers = self.read_confirmed(vec![Call::command(key, command)], [keys.partition]).await?;
        values::scored(values::next(&mut answers.into_iter())?)?
            .into_iter()
            .map(|(conversation, rev)| Ok((values::parsed(conversation)?, values::score(rev)?)))
            .collect()
    }
}

/// The greatest number that a script can tell from its neighbours.
const EXACT: u64 = 1 << 53;

/// What became of a read mark.
struct Ran {
    read_seq: u64,
    moved: bool,
    /// With the rev 0 where it is not in the log.
    logged: Logged,
}

impl RedisStore {
    /// The keys and first arguments that `changes.lua` expects.
    fn change_item<'a>(&self, conversation: &Conversation, more: Vec<Argument<'a>>) -> Item<'a> {
        let of = self.keys.conversation(conversation);
        let mut keys = vec![of.conv(), of.log(), of.tomb(), of.change(), of.read()];
        keys.extend([of.member(), of.span(), of.interest()]);
        let kind = match conversation {
            Conversation::Group(_) => text("g"),
            Conversation::Direct(..) => {
                let mut inboxes = 0;
                if !self.is_cluster() {
                    for user in conversation.users() {
                        let of = self.keys.user(user);
                        keys.extend([of.inbox(), of.presence(), of.changed()]);
                        inboxes += 1;
                    }
                }
                number(inboxes)
            }
        };
        let mut arguments = vec![kind, of.name.into_bytes().into()];
        arguments.extend(more);
        Item { partition: of.partition, keys, arguments }
    }

    /// What does not change about a message: whether it is there, and whose it is. Answers its id.
    async fn check_recall(&self, recall: &Recall) -> Result<Result<MessageId, RecallRefusal>, StoreError> {
        if let Some(device) = &recall.author.device {
            let key = DeviceKey { user: recall.user.clone(), device: device.clone() };
            let epochs = self.epochs(BTreeSet::from([key.clone()])).await?;
            if epochs.get(&key).is_some_and(|known| recall.author.epoch < *known) {
                return Ok(Err(RecallRefusal::OldEpoch));
            }
        }
        let request = PageRequest {
            conversation: recall.conversation.clone(),
            after: recall.seq.saturating_sub(1),
            before: recall.seq.saturating_add(1),
            limit: 1,
            max_bytes: usize::MAX,
            direction: Direction::Forwards,
        };
        let page = self.read_pages(vec![request]).await?.into_iter().next().unwrap_or_default();
        let found = page.messages.first().filter(|message| message.seq == recall.seq);
        Ok(match found {
            None => Err(RecallRefusal::NotFound),
            Some(message) if message.from != recall.user => Err(RecallRefusal::NotSender),
            Some(message) => Ok(message.id),
        })
    }

    /// In a cluster: tells the users' partitions, and learns where the users are. Who dies before it has answered nothing, and the
    /// same call made again does it.
    async fn note_changes(&self, changed: Vec<(&Conversation, &mut Logged)>) -> Result<(), StoreError> {
        let mut of: BTreeMap<&User, Vec<(String, u64)>> = BTreeMap::new();
        for (conversation, logged) in changed.iter().filter(|(_, logged)| logged.rev > 0) {
            for user in conversation.users() {
                of.entry(user).or_default().push((conversation.to_string(), logged.rev));
            }
        }
        let items = of
            .iter()
            .map(|(user, changed)| {
                let keys = self.keys.user(user);
                let mut arguments = vec![number(changed.len() as u64)];
                for (name, rev) in changed {
                    arguments.extend([text(name), number(*rev)]);
                }
                let names = vec![keys.inbox(), keys.presence(), keys.changed()];
                Item { keys: names, partition: keys.partition, arguments }
            })
            .collect();
        let script = script!("version.lua", "live.lua", "note_changes.lua");
        let answers = self.change_inboxes(script, &[], items).await?;
        let nodes: BTreeMap<&User, Vec<NodeRef>> = of
            .keys()
            .copied()
            .zip(answers)
            .map(|(user, answer)| Ok((user, append::nodes(answer)?)))
            .collect::<Result<_, StoreError>>()?;
        for (conversation, logged) in changed {
            let Routing::Direct(known) = &mut logged.routing else { continue };
            for node in conversation.users().filter_map(|user| nodes.get(user)).flatten() {
                if !known.contains(node) {
                    known.push(node.clone());
                }
            }
        }
        Ok(())
    }
}

/// Where a user's read mark stands in the head of a direct conversation; nothing for a group.
/// The field of a user's read mark in a direct conversation; nothing for a group.
pub(super) fn field(conversation: &Conversation, user: &User) -> &'static str {
    match conversation {
        Conversation::Group(_) => "",
        Conversation::Direct(first, second) if first == second => "ab",
        Conversation::Direct(first, _) if first == user => "a",
        Conversation::Direct(..) => "b",
    }
}

fn marked(answer: Value, conversation: &Conversation) -> Result<Result<Ran, MarkRefusal>, StoreError> {
    if answer == Value::Int(-2) {
        return Ok(Err(MarkRefusal::NotMember));
    }
    let mut parts = values::list(answer)?.into_iter();
    let read_seq = values::unsigned(values::next(&mut parts)?)?;
    let moved = values::unsigned(values::next(&mut parts)?)? == 1;
    Ok(Ok(Ran { read_seq, moved, logged: logged(&mut parts, conversation)? }))
}

/// A rev, the one before it, and whom to tell.
fn logged(
    parts: &mut impl Iterator<Item = Value>,
    conversation: &Conversation,
) -> Result<Logged, StoreError> {
    let rev = values::score(values::next(parts)?)?;
    let previous_rev = values::unsigned(values::next(parts)?)?;
    let whom = values::optional(values::next(parts)?, values::list)?;
    let (mut members_version, mut version, mut nodes) = (0, 0, Vec::new());
    match (conversation, whom) {
        (_, None) => {}
        (Conversation::Direct(..), Some(entries)) => nodes = append::nodes(Value::Array(entries))?,
        (Conversation::Group(_), Some(versions)) => {
            let mut versions = versions.into_iter();
            members_version = values::unsigned(values::next(&mut versions)?)?;
            version = values::unsigned(values::next(&mut versions)?)?;
        }
    }
    let routing = match conversation {
        Conversation::Direct(..) => Routing::Direct(nodes),
        Conversation::Group(_) => Routing::Group { version },
    };
    Ok(Logged { rev, previous_rev, members_version, routing })
}

fn list(answer: Value) -> Result<ChangeList, StoreError> {
    let mut parts = values::list(answer)?.into_iter();
    let rev = values::unsigned(values::next(&mut parts)?)?;
    let mut entries = values::list(values::next(&mut parts)?)?.into_iter();
    let mut changes = Vec::new();
    while let Some(rev) = entries.next() {
        let (member, value) = (values::text(values::next(&mut entries)?)?, values::next(&mut entries)?);
        changes.push(LoggedChange { rev: values::score(rev)?, change: change(&member, value)? });
    }
    Ok(ChangeList { rev, changes })
}

fn change(member: &str, value: Value) -> Result<Change, StoreError> {
    if let Some(user) = member.strip_prefix('u') {
        return Ok(Change::Read { user: values::parse(user)?, read_seq: values::unsigned(value)? });
    }
    let seq = member.strip_prefix('m').ok_or_else(|| unreadable("a change", &member))?;
    let message = values::bytes(value)?;
    let id = message.get(ID).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes);
    let id = MessageId(id.ok_or_else(|| unreadable("a recalled message", &"it is cut off"))?);
    Ok(Change::Recalled { seq: values::parse(seq)?, id })
}
