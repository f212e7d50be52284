//! Groups and their members, and who is told of a change.

use store::{GroupRecord, JoinRefusal, MemberPage, MembersChanged};
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
    /// `not_found`; `bad_request` for too many at once; `forbidden` where the group, or the list of a user's groups, would
    /// become too long; `unavailable`.
    pub async fn add_members(&self, group: &Group, users: Vec<User>) -> Result<MembersChanged, Refusal> {
        self.check_count(&users)?;
        let most = self.inner.limits.group_members;
        let members = self.group(group).await?.members;
        if members + users.len() as u64 > most && members + self.strangers(group, &users).await? > most {
            return Err(full(group, most));
        }
        self.check_groups_of(group, &users).await?;
        let changed = self.inner.store.add_members(group, users).await?.ok_or_else(|| no_group(group))?;
        self.tell_members(group, changed.clone()).await;
        Ok(changed)
    }

    /// Lets a user into an open group; answers how many members it has then. One who is in stays in.
    ///
    /// # Errors
    /// `not_found`; `forbidden` for a group that is not open or is full, or a user with too many groups; `unavailable`.
    pub async fn join_group(&self, group: &Group, user: &User) -> Result<u64, Refusal> {
        self.check_groups_of(group, std::slice::from_ref(user)).await?;
        let most = self.inner.limits.group_members;
        let changed = match self.inner.store.join_group(group, user.clone(), most).await? {
            Ok(changed) => changed,
            Err(JoinRefusal::NoGroup) => return Err(no_group(group)),
            Err(JoinRefusal::Full) => return Err(full(group, most)),
            Err(JoinRefusal::Closed) => {
                let message = format!("group {group}: it is not open, its members are added by the back end");
                return Err(Refusal::new(Code::Forbidden, message));
            }
        };
        let members = changed.members;
        self.tell_members(group, changed).await;
        Ok(members)
    }

    /// Lets a user leave a group; answers how many members are left.
    ///
    /// # Errors
    /// `not_found`; `not_member`; `unavailable`.
    pub async fn leave_group(&self, group: &Group, user: &User) -> Result<u64, Refusal> {
        let changed = self.remove_members(group, vec![user.clone()]).await?;
        if changed.changed.is_empty() { Err(not_member(group)) } else { Ok(changed.members) }
    }

    /// The members after `cursor`, for one of them.
    ///
    /// # Errors
    /// `not_found`; `not_member`; `unavailable`.
    pub async fn members_for(
        &self,
        user: &User,
        group: &Group,
        cursor: Option<User>,
        limit: Option<usize>,
    ) -> Result<MemberPage, Refusal> {
        let page = self.members(group, cursor, limit).await?;
        if self.strangers(group, std::slice::from_ref(user)).await? > 0 {
            return Err(not_member(group));
        }
        Ok(page)
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

    /// How many of these users are no members.
    async fn strangers(&self, group: &Group, users: &[User]) -> Result<u64, Refusal> {
        let of = users.iter().map(|user| (user.clone(), group.clone())).collect();
        let memberships = self.inner.store.memberships(of).await?;
        Ok(memberships.iter().filter(|each| !each.is_member()).count() as u64)
    }

    /// A user's inbox has no fewer entries than groups: those with a short one need no closer look.
    async fn check_groups_of(&self, joining: &Group, users: &[User]) -> Result<(), Refusal> {
        let (store, most) = (&self.inner.store, self.inner.limits.user_groups);
        let sizes = store.inbox_sizes(users.to_vec()).await?;
        for (user, _) in users.iter().zip(sizes).filter(|(_, size)| *size >= most) {
            let groups = store.inbox(user).await?.groups.into_iter();
            let others = groups.filter(|group| group != joining).map(|group| (user.clone(), group));
            let memberships = store.memberships(others.collect()).await?;
            if memberships.iter().filter(|each| each.is_member()).count() as u64 >= most {
                let message = format!("user {user}: a user may be in at most {most} groups");
                return Err(Refusal::new(Code::Forbidden, message));
            }
        }
        Ok(())
    }

    pub(crate) async fn tell_members(&self, group: &Group, changed: MembersChanged) {
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

fn full(group: &Group, most: u64) -> Refusal {
    Refusal::new(Code::Forbidden, format!("group {group}: a group may have at most {most} members"))
}

fn not_member(group: &Group) -> Refusal {
    Refusal::new(Code::NotMember, format!("group {group}: you are not a member"))
}

fn no_group(group: &Group) -> Refusal {
    Refusal::new(Code::NotFound, format!("group {group}: there is no such group"))
}
