//! Groups, their members, and from which `seq` to which one was a member.

use async_trait::async_trait;
use wire::{Group, NodeRef, User};

use crate::StoreError;

/// A group's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRecord {
    /// Which.
    pub group: Group,
    /// Whether users may join by themselves.
    pub open: bool,
    /// For people, at most 256 bytes.
    pub name: Option<String>,
    /// Who owns it; needs not be a member.
    pub owner: Option<User>,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at: i64,
    /// How many members it has now. Ignored when written.
    pub members: u64,
}

/// When somebody was a member: messages with `joined_seq <= seq < left_seq` are theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first `seq` that is theirs: the group's last one when they joined, plus 1.
    pub joined_seq: u64,
    /// The first `seq` that is not theirs any more; `None` while they are a member.
    pub left_seq: Option<u64>,
}

impl Span {
    /// Whether a message with this `seq` is the member's.
    pub fn holds(&self, seq: u64) -> bool {
        self.joined_seq <= seq && self.left_seq.is_none_or(|left| seq < left)
    }
}

/// What a change of members did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersChanged {
    /// The group's members version after it.
    pub members_version: u64,
    /// How many members it has after it.
    pub members: u64,
    /// Who was really added or removed; the others were (or were not) members already.
    pub changed: Vec<User>,
    /// The nodes that hold devices of the changed users: they are to be told.
    pub nodes: Vec<NodeRef>,
}

/// Why somebody could not join by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// The group does not exist.
    #[error("there is no such group")]
    NoGroup,
    /// Members are added by back ends only.
    #[error("the group is not open")]
    Closed,
    /// It has as many members as it may.
    #[error("the group is full")]
    Full,
}

/// Members of a group, in bytewise order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberPage {
    /// The members of this page.
    pub members: Vec<User>,
    /// Where the next page starts; `None` after the last one.
    pub cursor: Option<User>,
}

/// A group that a user is or was a member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserGroup {
    /// Which.
    pub group: Group,
    /// All times of membership, ascending; the last one may be open. One in which nothing was sent may be missing.
    pub spans: Vec<Span>,
    /// The group's last `seq`.
    pub last_seq: u64,
    /// The group's members version, read together with the spans.
    pub members_version: u64,
    /// The last place of the group's change log, 0 where it is empty.
    pub rev: u64,
}

impl UserGroup {
    /// Whether the user is a member now.
    pub fn is_member(&self) -> bool {
        self.spans.last().is_some_and(|span| span.left_seq.is_none())
    }
}

/// Groups and members.
#[async_trait]
pub trait Groups: Send + Sync + 'static {
    /// Creates a group or changes its settings (`created_at` stays); answers whether it was created.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn put_group(&self, record: GroupRecord) -> Result<bool, StoreError>;

    /// A group's settings; `None` where there is no such group.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn group(&self, group: &Group) -> Result<Option<GroupRecord>, StoreError>;

    /// Removes all members and the settings; history stays until retention takes it. A group of the same name made
    /// later continues its `seq`. `None` where there is no such group.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn delete_group(&self, group: &Group) -> Result<Option<MembersChanged>, StoreError>;

    /// Adds members at the group's next `seq`; `None` where there is no such group.
    ///
    /// Each new member's inbox version is bumped.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn add_members(
        &self,
        group: &Group,
        users: Vec<User>,
    ) -> Result<Option<MembersChanged>, StoreError>;

    /// Adds one user to an open group that has fewer than `most` members, as [`Groups::add_members`] does. One who is a
    /// member already is not refused.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn join_group(
        &self,
        group: &Group,
        user: User,
        most: u64,
    ) -> Result<Result<MembersChanged, JoinRefusal>, StoreError>;

    /// Removes members: what is appended from now on is not theirs; `None` where there is no such group.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove_members(
        &self,
        group: &Group,
        users: Vec<User>,
    ) -> Result<Option<MembersChanged>, StoreError>;

    /// The members after `cursor`, at most `limit` (1 to 1,000); `None` where there is no such group.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn members(
        &self,
        group: &Group,
        cursor: Option<User>,
        limit: usize,
    ) -> Result<Option<MemberPage>, StoreError>;

    /// For each (user, group): when the user was a member, how far the group has come and its members version, all
    /// read at one moment; no spans where the user never was a member.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn memberships(&self, of: Vec<(User, Group)>) -> Result<Vec<UserGroup>, StoreError>;
}
