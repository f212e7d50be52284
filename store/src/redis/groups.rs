//! [`Groups`] in Redis: settings and reading; `members.rs` changes members.

use async_trait::async_trait;
use redis::Value;
use redis_link::Call;
use wire::{Conversation, Group, User};

use super::{
    RedisStore,
    failure::unreadable,
    members::Change,
    shards::{ITEMS, Item, text},
    values,
};
use crate::{GroupRecord, Groups, JoinRefusal, MemberPage, MembersChanged, Span, StoreError, UserGroup};

/// The most members in one page.
const PAGE_MAX: usize = 1_000;

#[async_trait]
impl Groups for RedisStore {
    async fn put_group(&self, record: GroupRecord) -> Result<bool, StoreError> {
        let keys = self.keys.group(&record.group);
        let optional = |value: Option<&str>| value.map(|value| format!("={value}")).unwrap_or_default();
        let arguments = [
            record.created_at.to_string(),
            u8::from(record.open).to_string(),
            optional(record.name.as_deref()),
            optional(record.owner.as_ref().map(User::as_str)),
        ];
        let key = keys.conv();
        let call = Call::script(&key, super::script!("put_group.lua"), &[&key], &arguments);
        let answers = self.write(vec![call]).await?;
        Ok(values::next(&mut answers.into_iter())? == Value::Int(1))
    }

    async fn group(&self, group: &Group) -> Result<Option<GroupRecord>, StoreError> {
        let keys = self.keys.group(group);
        let (key, member) = (keys.conv(), keys.member());
        let mut settings = redis::cmd("HMGET");
        settings.arg(&key).arg(&["made", "open", "name", "owner"]);
        let mut count = redis::cmd("ZCARD");
        count.arg(&member);
        let mut answers =
            self.read(vec![Call::command(key, settings), Call::command(member, count)]).await?.into_iter();
        let mut settings = values::list(values::next(&mut answers)?)?.into_iter();
        let members = values::unsigned(values::next(&mut answers)?)?;
        let mut next = || values::next(&mut settings);
        let Some(created_at) = values::optional(next()?, values::signed)? else { return Ok(None) };
        Ok(Some(GroupRecord {
            group: group.clone(),
            open: values::unsigned(next()?)? == 1,
            name: values::optional(next()?, values::text)?,
            owner: values::optional(next()?, values::parsed)?,
            created_at,
            members,
        }))
    }

    async fn delete_group(&self, group: &Group) -> Result<Option<MembersChanged>, StoreError> {
        self.delete(group).await
    }

    async fn add_members(
        &self,
        group: &Group,
        users: Vec<User>,
    ) -> Result<Option<MembersChanged>, StoreError> {
        Ok(self.change_members(group, Change::Add, users).await?.ok())
    }

    async fn join_group(
        &self,
        group: &Group,
        user: User,
        most: u64,
    ) -> Result<Result<MembersChanged, JoinRefusal>, StoreError> {
        // Looked at before anything is noted in the inbox: who asks for closed groups leaves nothing behind.
        match self.group(group).await? {
            None => Ok(Err(JoinRefusal::NoGroup)),
            Some(record) if !record.open && !self.is_member(group, &user).await? => {
                Ok(Err(JoinRefusal::Closed))
            }
            Some(_) => self.change_members(group, Change::Join(most), vec![user]).await,
        }
    }

    async fn remove_members(
        &self,
        group: &Group,
        users: Vec<User>,
    ) -> Result<Option<MembersChanged>, StoreError> {
        Ok(self.change_members(group, Change::Remove, users).await?.ok())
    }

    async fn members(
        &self,
        group: &Group,
        cursor: Option<User>,
        limit: usize,
    ) -> Result<Option<MemberPage>, StoreError> {
        let keys = self.keys.group(group);
        let (key, member) = (keys.conv(), keys.member());
        let limit = limit.clamp(1, PAGE_MAX);
        let mut exists = redis::cmd("HEXISTS");
        exists.arg(&key).arg("made");
        let after = cursor.map_or("-".to_owned(), |cursor| format!("({cursor}"));
        let mut page = redis::cmd("ZRANGEBYLEX");
        // One more than is wanted tells whether there is a next page.
        page.arg(&member).arg(after).arg("+").arg("LIMIT").arg(0).arg(limit + 1);
        let mut answers =
            self.read(vec![Call::command(key, exists), Call::command(member, page)]).await?.into_iter();
        if values::next(&mut answers)? != Value::Int(1) {
            return Ok(None);
        }
        let mut members = values::list(values::next(&mut answers)?)?
            .into_iter()
            .map(values::parsed)
            .collect::<Result<Vec<User>, _>>()?;
        let more = members.len() > limit;
        members.truncate(limit);
        let cursor = if more { members.last().cloned() } else { None };
        Ok(Some(MemberPage { members, cursor }))
    }

    async fn memberships(&self, of: Vec<(User, Group)>) -> Result<Vec<UserGroup>, StoreError> {
        let items = of
            .iter()
            .map(|(user, group)| {
                let keys = self.keys.group(group);
                Item {
                    keys: vec![keys.conv(), keys.span()],
                    partition: keys.partition,
                    arguments: vec![text(user.as_str())],
                }
            })
            .collect();
        let answers =
            self.ask(super::script!("fence.lua", "head.lua", "memberships.lua"), &[], items, ITEMS).await?;
        of.into_iter().zip(answers).map(|((_, group), answer)| membership(group, answer)).collect()
    }
}

impl RedisStore {
    async fn is_member(&self, group: &Group, user: &User) -> Result<bool, StoreError> {
        let member = self.keys.group(group).member();
        let mut score = redis::cmd("ZSCORE");
        score.arg(&member).arg(user.as_str());
        let answers = self.read(vec![Call::command(member, score)]).await?;
        Ok(values::next(&mut answers.into_iter())? != Value::Nil)
    }

    pub(super) async fn group_exists(&self, group: &Group) -> Result<bool, StoreError> {
        let key = self.keys.conversation(&Conversation::Group(group.clone())).conv();
        let mut exists = redis::cmd("HEXISTS");
        exists.arg(&key).arg("made");
        let answers = self.read(vec![Call::command(key, exists)]).await?;
        Ok(values::next(&mut answers.into_iter())? == Value::Int(1))
    }
}

fn membership(group: Group, answer: Value) -> Result<UserGroup, StoreError> {
    let mut answer = values::list(answer)?.into_iter();
    let last_seq = values::unsigned(values::next(&mut answer)?)?;
    let members_version = values::unsigned(values::next(&mut answer)?)?;
    let rev = values::unsigned(values::next(&mut answer)?)?;
    let spans = values::optional(values::next(&mut answer)?, values::text)?;
    let spans = spans.unwrap_or_default().split_ascii_whitespace().map(span).collect::<Result<_, _>>()?;
    Ok(UserGroup { group, spans, last_seq, members_version, rev })
}

/// `1-4`, or `9-` while it is open.
fn span(text: &str) -> Result<Span, StoreError> {
    let (joined, left) = text.split_once('-').ok_or_else(|| unreadable("a span", &text))?;
    let left_seq = if left.is_empty() { None } else { Some(values::parse(left)?) };
    Ok(Span { joined_seq: values::parse(joined)?, left_seq })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_or_refused() {
        assert_eq!(span("1-4").expect("a span"), Span { joined_seq: 1, left_seq: Some(4) });
        assert_eq!(span("9-").expect("a span"), Span { joined_seq: 9, left_seq: None });
        for text in ["", "-", "1", "a-b", "1-4-", "-4"] {
            assert!(matches!(span(text), Err(StoreError::Corrupt(_))), "{text}");
        }
    }
}
