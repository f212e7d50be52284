//! Groups and their members, and who is told of a change.

use store::{GroupRecord, MemberPage, MembersChanged};
use wire::{Code, Group, MembershipChange, Payload, User};

use crate::{Conversations, Refusal};

/// The longest name of a group, in bytes.
const GROUP_NAME_BYTES: usize = 256;

impl Conversations {
    /// Creates a group or changes its settings; answers whether it was created.
    ///
    /// # Errors
    /// `bad_request` for a name of more than 256 bytes; `unavailable`.
    pub async fn put_group(&self, record: GroupRecord) -> Result<bool, Refusal> {
        if record.name.as_ref().is_some_and(|name| name.len() > GROUP_NAME_BYTES) {
            return Err(Refusal::bad_request(format!("name: expected at most {GROUP_NAME_BYTES} bytes")));
        }
        Ok(self.inner.store.put_group(record).await?)
    }

    /// A group's settings.
    ///
    /// # Errors
    /// `not_found`; `unavailable`.
    pub async fn group(&self, group: &Group) -> Result<GroupRecord, Refusal> {
        self.inner.store.group(group).await?.ok_or_else(|| no_group(group))
    }

    /// Removes a group and its members; history stays until retention takes it.
    ///
    /// # Errors
    /// `not_found`; `unavailable`.
    pub async fn delete_group(&self, group: &Group) -> Result<(), Refusal> {
        let changed = self.inner.store.delete_group(group).await?.ok_or_else(|| no_group(group))?;
        self.tell_members(group, changed).await;
        Ok(())
    }

    /// Adds members; answers what changed once it is durable and the nodes of the new members are told.
    ///
    /// # Errors
    /// `not_found`; `bad_request` for too many at once; `unavailable`.
    pub async fn add_members(&self, group: &Group, users: Vec<User>) -> Result<MembersChanged, Refusal> {
        self.check_count(&users)?;
        let changed = self.inner.store.add_members(group, users).await?.ok_or_else(|| no_group(group))?;
        self.tell_members(group, changed.clone()).await;
        Ok(changed)
    }

    /// Removes members; what is sent from now on does not reach them.
    ///
    /// # Errors
    /// `not_found`; `bad_request` for too many at once; `unavailable`.
    pub async fn remove_members(&self, group: &Group, users: Vec<User>) -> Result<MembersChanged, Refusal> {
        self.check_count(&users)?;
        let changed = self.inner.store.remove_members(group, users).await?.ok_or_else(|| no_group(group))?;
        self.tell_members(group, changed.clone()).await;
        Ok(changed)
    }

    /// The members after `cursor`, in bytewise order.
    ///
    /// # Errors
    /// `not_found`; `unavailable`.
    pub async fn members(
        &self,
        group: &Group,
        cursor: Option<User>,
        limit: Option<usize>,
    ) -> Result<MemberPage, Refusal> {
        let most = self.inner.limits.page_members;
        let limit = limit.unwrap_or(most).clamp(1, most);
        self.inner.store.members(group, cursor, limit).await?.ok_or_else(|| no_group(group))
    }

    fn check_count(&self, users: &[User]) -> Result<(), Refusal> {
        let most = self.inner.limits.page_members;
        if users.is_empty() || users.len() > most {
            return Err(Refusal::bad_request(format!(
                "users: expected 1 to {most} names, not {}",
                users.len()
            )));
        }
        Ok(())
    }

    async fn tell_members(&self, group: &Group, changed: MembersChanged) {
        let change = MembershipChange {
            group: group.clone(),
            members_version: changed.members_version,
            users: changed.changed,
        };
        let hints =
            changed.nodes.into_iter().map(|node| (node, Payload::Membership(change.clone()))).collect();
        self.inner.announcer.tell(hints).await;
    }
}

fn no_group(group: &Group) -> Refusal {
    Refusal::new(Code::NotFound, format!("group {group}: there is no such group"))
}
