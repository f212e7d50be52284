//! Changes of a group's members, in three steps that live in different partitions: the inboxes note that a change is
//! under way, the group is changed, the inboxes are bumped.
//!
//! A crash between two steps leaves at most a group too many in an inbox, where the spans decide, or a change that nobody
//! was told of. The same call made again finds the notes and tells. (Nodes that hold a member find it without, when they
//! compare the versions of their groups.)
//!
//! Each step goes over users in chunks, and each chunk is a change by itself: who is added with a later chunk may join at
//! a later `seq`.

use std::collections::HashSet;

use redis::Value;
use redis_link::Call;
use wire::{Conversation, Group, NodeRef, User};

use super::{
    RedisStore, append,
    keys::ConversationKeys,
    shards::{Item, text},
    values,
};
use crate::{JoinRefusal, MembersChanged, StoreError};

/// Users that one script adds or removes, about 5 µs each: while it runs, the server does nothing else.
const CHUNK: usize = 500;
/// Chunks that deleting a group removes: 5,000,000 members. More come only where somebody adds them meanwhile.
const DELETE_CHUNKS: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Add,
    Remove,
    /// One user, into an open group that has fewer members than this.
    Join(u64),
}

impl RedisStore {
    pub(super) async fn change_members(
        &self,
        group: &Group,
        change: Change,
        mut users: Vec<User>,
    ) -> Result<Result<MembersChanged, JoinRefusal>, StoreError> {
        // Before anything is noted in inboxes.
        if !self.group_exists(group).await? {
            return Ok(Err(JoinRefusal::NoGroup));
        }
        let mut seen = HashSet::new();
        users.retain(|user| seen.insert(user.clone()));
        // Without any user, it still answers versions.
        let mut chunks: Vec<&[User]> = users.chunks(CHUNK).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let mut sum =
            MembersChanged { members_version: 0, members: 0, changed: Vec::new(), nodes: Vec::new() };
        for users in chunks {
            let untold = self.announce(group, change, users).await?;
            let keys = self.keys.group(group);
            let (verb, most) = match change {
                Change::Add => ("add", String::new()),
                Change::Join(most) => ("join", most.to_string()),
                Change::Remove => ("remove", String::new()),
            };
            let arguments: Vec<&str> =
                [verb, &most].into_iter().chain(users.iter().map(User::as_str)).collect();
            let script = super::script!("version.lua", "head.lua", "spans.lua", "change_members.lua");
            let call = Call::script(keys.conv(), script, &group_keys(&keys), &arguments);
            let answers = self.write(vec![call]).await?;
            let Some(answer) = values::optional(values::next(&mut answers.into_iter())?, values::list)?
            else {
                return Ok(Err(JoinRefusal::NoGroup));
            };
            let mut answer = answer.into_iter();
            sum.members_version = values::unsigned(values::next(&mut answer)?)?;
            sum.members = values::unsigned(values::next(&mut answer)?)?;
            let changed = values::list(values::next(&mut answer)?)?
                .into_iter()
                .map(place)
                .collect::<Result<HashSet<usize>, _>>()?;
            let refusal = values::optional(values::next(&mut answer)?, values::text)?;
            let users = users.iter().zip(untold).enumerate().map(|(n, (user, untold))| Changed {
                user: user.clone(),
                changed: changed.contains(&n),
                untold,
            });
            self.conclude(group, users.collect(), &mut sum).await?;
            match refusal.as_deref() {
                None => {}
                Some("closed") => return Ok(Err(JoinRefusal::Closed)),
                Some("full") => return Ok(Err(JoinRefusal::Full)),
                Some(other) => return Err(super::failure::unreadable("a refusal", &other)),
            }
        }
        Ok(Ok(sum))
    }

    pub(super) async fn delete(&self, group: &Group) -> Result<Option<MembersChanged>, StoreError> {
        let keys = self.keys.group(group);
        let mut sum =
            MembersChanged { members_version: 0, members: 0, changed: Vec::new(), nodes: Vec::new() };
        for _ in 0..DELETE_CHUNKS {
            let member = keys.member();
            let mut first = redis::cmd("ZRANGE");
            first.arg(&member).arg(0).arg(CHUNK - 1);
            let answers = self.read(vec![Call::command(member, first)]).await?;
            let members = names(values::next(&mut answers.into_iter())?)?;
            self.announce(group, Change::Remove, &members).await?;
            let script = super::script!("version.lua", "head.lua", "spans.lua", "delete_group.lua");
            let call = Call::script(keys.conv(), script, &group_keys(&keys), &[CHUNK]);
            let answers = self.write(vec![call]).await?;
            let Some(answer) = values::optional(values::next(&mut answers.into_iter())?, values::list)?
            else {
                return Ok(None);
            };
            let mut answer = answer.into_iter();
            sum.members_version = values::unsigned(values::next(&mut answer)?)?;
            let left = values::unsigned(values::next(&mut answer)?)?;
            let removed = names(values::next(&mut answer)?)?.into_iter();
            let removed = removed.map(|user| Changed { user, changed: true, untold: false }).collect();
            self.conclude(group, removed, &mut sum).await?;
            if left == 0 {
                return Ok(Some(sum));
            }
        }
        Err(StoreError::Unavailable(format!("{group} gets new members while it is deleted: try again")))
    }

    /// Answers for each user whether an earlier change was never concluded.
    async fn announce(&self, group: &Group, change: Change, users: &[User]) -> Result<Vec<bool>, StoreError> {
        let items = users
            .iter()
            .map(|user| {
                let keys = self.keys.user(user);
                let put = text(if change == Change::Remove { "" } else { "1" });
                Item { keys: vec![keys.inbox()], partition: keys.partition, arguments: vec![put] }
            })
            .collect();
        let name = Conversation::Group(group.clone()).to_string();
        let answers = self.change(super::script!("announce.lua"), &[text(&name)], items).await?;
        Ok(answers.into_iter().map(|answer| answer == Value::Int(1)).collect())
    }

    /// Bumps the inboxes of those whom it concerns, and adds who was changed and where they are.
    async fn conclude(
        &self,
        group: &Group,
        users: Vec<Changed>,
        sum: &mut MembersChanged,
    ) -> Result<(), StoreError> {
        let items = users
            .iter()
            .map(|Changed { user, changed, untold }| {
                let keys = self.keys.user(user);
                let bump = text(if *changed || *untold { "1" } else { "" });
                Item {
                    keys: vec![keys.inbox(), keys.presence()],
                    partition: keys.partition,
                    arguments: vec![bump],
                }
            })
            .collect();
        let name = Conversation::Group(group.clone()).to_string();
        let script = super::script!("version.lua", "live.lua", "conclude.lua");
        let answers = self.change_inboxes(script, &[text(&name)], items).await?;
        let mut known: HashSet<NodeRef> = sum.nodes.iter().cloned().collect();
        for (user, answer) in users.into_iter().zip(answers).filter(|(user, _)| user.changed) {
            sum.changed.push(user.user);
            for node in append::nodes(answer)? {
                if known.insert(node.clone()) {
                    sum.nodes.push(node);
                }
            }
        }
        Ok(())
    }
}

/// What became of one user.
struct Changed {
    user: User,
    changed: bool,
    untold: bool,
}

fn group_keys(keys: &ConversationKeys) -> [String; 3] {
    [keys.conv(), keys.member(), keys.span()]
}

fn names(answer: Value) -> Result<Vec<User>, StoreError> {
    values::list(answer)?.into_iter().map(values::parsed).collect()
}

fn place(answer: Value) -> Result<usize, StoreError> {
    let place = values::unsigned(answer)?;
    usize::try_from(place).map_err(|error| super::failure::unreadable("a place", &error))
}
