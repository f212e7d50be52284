//! Appending messages.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use redis::Value;
use redis_link::Call;
use wire::{Conversation, Message, NodeRef};

use super::{
    RedisStore,
    failure::unreadable,
    keys::ConversationKeys,
    outbox, record,
    shards::{Argument, Item, number, text},
    values,
};
use crate::{Append, AppendRefusal, Appended, DeviceKey, Routing, StoreError};

/// Messages of one conversation, by their places in the batch.
struct Run {
    keys: ConversationKeys,
    places: Vec<usize>,
}

/// What became of a run.
pub(super) struct Ran {
    pub(super) last_seq: u64,
    sent_at: i64,
    members_version: u64,
    routing_version: u64,
    pub(super) nodes: Vec<NodeRef>,
    outcomes: Vec<Outcome>,
}

enum Outcome {
    Stored(u64),
    Before(Message),
    Refused(AppendRefusal),
}

impl Ran {
    /// Whether any message is there now.
    pub(super) fn has_taken(&self) -> bool {
        self.outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Refused(_)))
    }
}

impl RedisStore {
    pub(super) async fn append_batch(
        &self,
        batch: Vec<Append>,
    ) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
        let mut runs: Vec<Run> = Vec::new();
        let mut of: HashMap<&Conversation, usize> = HashMap::new();
        for (place, append) in batch.iter().enumerate() {
            let run = *of.entry(&append.conversation).or_insert_with(|| {
                runs.push(Run { keys: self.keys.conversation(&append.conversation), places: Vec::new() });
                runs.len() - 1
            });
            runs[run].places.push(place);
        }
        // Epochs are in the users' partitions, out of the script's reach in a cluster. To look before appending is as
        // good: a connection that is replaced while its message is on the way might as well have been a bit faster.
        let epochs = if self.is_cluster() {
            Some(self.epochs(batch.iter().filter_map(device).collect()).await?)
        } else {
            None
        };
        let waiting = self.consumed_messages().await?;
        let mut items = Vec::with_capacity(runs.len());
        for run in &runs {
            items.push(self.item(run, &batch, epochs.as_ref(), waiting.is_some())?);
        }
        let retention = number(u64::try_from(self.options.cid_retention.as_millis()).unwrap_or(u64::MAX));
        let script = super::script!("version.lua", "live.lua", "head.lua", "tomb.lua", "append.lua");
        let shards = self.inbox_shards(script, &[retention, outbox::bound(waiting)], items);
        let answers = self.write(shards.calls).await?;
        let mut ran: Vec<Option<Ran>> = runs.iter().map(|_| None).collect();
        for (answer, items) in answers.into_iter().zip(shards.items) {
            let mut answers = values::list(answer)?.into_iter();
            for item in items {
                let Run { places, .. } = &runs[item];
                ran[item] = Some(read(&mut answers, &batch[places[0]].conversation, places.len())?);
            }
        }
        let mut ran = ran.into_iter().collect::<Option<Vec<Ran>>>().ok_or_else(short)?;
        if self.is_cluster() {
            let conversations = runs.iter().map(|run| &batch[run.places[0]].conversation);
            self.bump(conversations.zip(&mut ran).collect()).await?;
        }
        settle(batch, runs, ran)
    }

    /// The epochs of devices; one that never connected has none.
    pub(super) async fn epochs(
        &self,
        devices: BTreeSet<DeviceKey>,
    ) -> Result<HashMap<DeviceKey, u64>, StoreError> {
        let calls = devices
            .iter()
            .map(|key| {
                let hash = self.keys.user(&key.user).device();
                let mut command = redis::cmd("HGET");
                command.arg(&hash).arg(key.device.as_str());
                Call::command(hash, command)
            })
            .collect();
        let answers = self.read(calls).await?;
        let mut epochs = HashMap::new();
        for (key, answer) in devices.into_iter().zip(answers) {
            if let Some(entry) = values::optional(answer, values::text)? {
                let epoch = entry.split(':').next().unwrap_or_default();
                epochs.insert(key, values::parse(epoch)?);
            }
        }
        Ok(epochs)
    }

    fn item<'a>(
        &self,
        run: &'a Run,
        batch: &'a [Append],
        epochs: Option<&HashMap<DeviceKey, u64>>,
        is_consumed: bool,
    ) -> Result<Item<'a>, StoreError> {
        let of = &run.keys;
        let [even, odd] = of.sent();
        let mut keys = vec![of.conv(), of.log(), of.tomb(), even, odd];
        if is_consumed {
            keys.push(of.partition.outbox());
        }
        let mut arguments: Vec<Argument<'a>> = Vec::with_capacity(3 + 5 * run.places.len());
        let count = number(run.places.len() as u64);
        let conversation = &batch[run.places[0]].conversation;
        match conversation {
            Conversation::Group(_) => {
                keys.extend([of.read(), of.member(), of.interest(), of.partition.starts()]);
                arguments.extend([text("g"), count]);
                if is_consumed {
                    arguments.push(text(&of.name));
                }
            }
            Conversation::Direct(..) => {
                let mut inboxes = 0;
                if !self.is_cluster() {
                    for user in conversation.users() {
                        let of = self.keys.user(user);
                        keys.extend([of.inbox(), of.presence()]);
                        inboxes += 1;
                    }
                }
                arguments.extend([number(inboxes), count, text(&of.name)]);
            }
        }
        for place in &run.places {
            let append = &batch[*place];
            arguments.push(mark(append));
            arguments.push(match &append.cid {
                Some(cid) => format!("{} {cid}", append.from).into_bytes().into(),
                None => text(""),
            });
            match (&append.author.device, epochs) {
                (None, _) => arguments.push(text("")),
                (Some(device), None) => {
                    keys.push(self.keys.user(&append.from).device());
                    arguments.extend([text(device.as_str()), number(append.author.epoch)]);
                }
                (Some(name), Some(epochs)) => {
                    let known = device(append).and_then(|key| epochs.get(&key));
                    let is_old = known.is_some_and(|known| append.author.epoch < *known);
                    arguments.extend([text(name.as_str()), text(if is_old { "-" } else { "+" })]);
                }
            }
            arguments.push(record::encode(append)?.into());
        }
        Ok(Item { partition: of.partition.clone(), keys, arguments })
    }
}

fn device(append: &Append) -> Option<DeviceKey> {
    append.author.device.clone().map(|device| DeviceKey { user: append.from.clone(), device })
}

/// Whose read mark moves: a member's name, with whether they must be one, or which of the two users.
fn mark(append: &Append) -> Argument<'_> {
    match &append.conversation {
        Conversation::Group(_) => {
            let sign = if append.members_only { '+' } else { '-' };
            format!("{sign}{}", append.from).into_bytes().into()
        }
        Conversation::Direct(first, second) => text(match (*first == append.from, *second == append.from) {
            (true, true) => "ab",
            (true, false) => "a",
            (false, true) => "b",
            (false, false) => "",
        }),
    }
}

fn short() -> StoreError {
    StoreError::Corrupt("an append answered less than it was asked".into())
}

/// What the script answers of one conversation.
fn read(
    answers: &mut impl Iterator<Item = Value>,
    conversation: &Conversation,
    count: usize,
) -> Result<Ran, StoreError> {
    let mut next = || values::next(answers);
    let last_seq = values::unsigned(next()?)?;
    let sent_at = values::signed(next()?)?;
    let (mut members_version, mut routing_version, mut nodes) = (0, 0, Vec::new());
    match conversation {
        Conversation::Group(_) => {
            members_version = values::unsigned(next()?)?;
            routing_version = values::unsigned(next()?)?;
        }
        Conversation::Direct(..) => {
            nodes = values::optional(next()?, self::nodes)?.unwrap_or_default();
        }
    }
    let outcomes = (0..count).map(|_| outcome(next()?, conversation)).collect::<Result<_, _>>()?;
    Ok(Ran { last_seq, sent_at, members_version, routing_version, nodes, outcomes })
}

fn outcome(answer: Value, conversation: &Conversation) -> Result<Outcome, StoreError> {
    Ok(match answer {
        Value::Int(-1) => Outcome::Refused(AppendRefusal::NoGroup),
        Value::Int(-2) => Outcome::Refused(AppendRefusal::NotMember),
        Value::Int(-3) => Outcome::Refused(AppendRefusal::OldEpoch),
        Value::Int(seq) => Outcome::Stored(seq.unsigned_abs()),
        other => {
            let mut parts = values::list(other)?.into_iter();
            let entry = values::text(values::next(&mut parts)?)?;
            let bytes = values::bytes(values::next(&mut parts)?)?;
            Outcome::Before(record::decode(conversation, &entry, &bytes)?)
        }
    })
}

/// The nodes in entries of `presence`, each once.
pub(super) fn nodes(entries: Value) -> Result<Vec<NodeRef>, StoreError> {
    let mut nodes = Vec::new();
    for entry in values::list(entries)? {
        let entry = values::text(entry)?;
        let mut parts = entry.splitn(4, ' ');
        let (Some(incarnation), Some(id)) = (parts.next(), parts.nth(2)) else {
            return Err(unreadable("a connection", &entry));
        };
        let node = NodeRef { id: id.into(), incarnation: wire::Incarnation(values::parse(incarnation)?) };
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

fn settle(
    batch: Vec<Append>,
    runs: Vec<Run>,
    ran: Vec<Ran>,
) -> Result<Vec<Result<Appended, AppendRefusal>>, StoreError> {
    let mut batch: Vec<Option<Append>> = batch.into_iter().map(Some).collect();
    let mut answers: Vec<Option<Result<Appended, AppendRefusal>>> = batch.iter().map(|_| None).collect();
    for (run, ran) in runs.into_iter().zip(ran) {
        for (place, outcome) in run.places.into_iter().zip(ran.outcomes) {
            let Some(append) = batch[place].take() else { continue };
            let routing = match append.conversation {
                Conversation::Group(_) => Routing::Group { version: ran.routing_version },
                Conversation::Direct(..) => Routing::Direct(ran.nodes.clone()),
            };
            let (message, duplicate) = match outcome {
                Outcome::Refused(refusal) => {
                    answers[place] = Some(Err(refusal));
                    continue;
                }
                Outcome::Stored(seq) => (message(append, seq, ran.sent_at), false),
                Outcome::Before(first) => (first, true),
            };
            let message = Arc::new(message);
            let members_version = ran.members_version;
            answers[place] = Some(Ok(Appended { message, duplicate, routing, members_version }));
        }
    }
    answers.into_iter().collect::<Option<_>>().ok_or_else(short)
}

fn message(append: Append, seq: u64, sent_at: i64) -> Message {
    Message {
        conversation: append.conversation,
        seq,
        id: append.id,
        cid: append.cid,
        from: append.from,
        device: append.author.device,
        to: append.to,
        kind: append.kind,
        body: append.body,
        sent_at,
        recalled_at: None,
        origin_session: append.author.session,
    }
}
