//! Read marks and recalled messages: what is checked, stored, and told.

use std::sync::Arc;

use store::{Author, Logged, MarkRead, MarkRefusal, Recall, RecallRefusal, Routing, Span};
use wire::{Change, ChangeHint, Code, Conversation, NodeRef, Payload, User};

use crate::{Conversations, Reader, Refusal};

/// A user has read a conversation up to `seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// Who.
    pub user: User,
    /// The session that says so, which needs not be told; 0 for a back end.
    pub session: u64,
    /// Which conversation.
    pub conversation: Conversation,
    /// The last `seq` that they have read; more than there is counts as all that is.
    pub seq: u64,
}

/// A sender takes a message back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecallRequest {
    /// Who.
    pub user: User,
    /// The connection that asks.
    pub author: Author,
    /// Of which conversation.
    pub conversation: Conversation,
    /// Which message.
    pub seq: u64,
}

impl Conversations {
    /// Moves a user's read mark forwards. Once it is durable, the user's devices are told, and in direct conversations and groups
    /// that are not too large the others.
    ///
    /// # Errors
    /// `forbidden` for somebody else's conversation; `not_member` for a group that the user never was in; `unavailable`.
    pub async fn read(&self, request: ReadRequest) -> Result<(), Refusal> {
        let ReadRequest { user, session, conversation, seq } = request;
        if conversation.group().is_none() {
            self.visible(&Reader::User(user.clone()), &conversation).await?;
        }
        let mark = MarkRead {
            conversation: conversation.clone(),
            user: user.clone(),
            seq,
            most_members: self.inner.limits.receipt_members,
        };
        let marked = self.inner.store.mark_read(vec![mark]).await?.into_iter().next();
        let marked = marked.ok_or_else(|| Refusal::unavailable("the store has not answered"))?;
        let marked = marked
            .map_err(|refusal @ MarkRefusal::NotMember| Refusal::new(Code::NotMember, refusal.to_string()))?;
        if !marked.moved {
            return Ok(());
        }
        let change = Change::Read { user: user.clone(), read_seq: marked.read_seq };
        match marked.logged {
            Some(logged) => self.tell_change(conversation, logged, session, change).await,
            None => self.tell_own(conversation, user, session, change).await,
        }
        Ok(())
    }

    /// Turns a message of the user into a tombstone. Once that is durable, everybody who may have it is told.
    ///
    /// # Errors
    /// `forbidden` for somebody else's message or conversation, or one that was sent too long ago; `not_member` for a group that
    /// the user never was in; `not_found` where there is no such message; `unavailable`: doing it again is safe.
    pub async fn recall(&self, request: RecallRequest) -> Result<(), Refusal> {
        let RecallRequest { user, author, conversation, seq } = request;
        let spans = self.visible(&Reader::User(user.clone()), &conversation).await?;
        if !spans.iter().any(|span: &Span| span.holds(seq)) {
            return Err(refused(RecallRefusal::NotFound));
        }
        let recall = Recall {
            conversation: conversation.clone(),
            seq,
            user,
            author,
            window_ms: self.inner.limits.recall_window_ms,
        };
        let done = self.inner.store.recall(recall).await?.map_err(refused)?;
        // Everyone is told, the connection that asked as well.
        let change = Change::Recalled { seq, id: done.id };
        self.tell_change(conversation, done.logged, 0, change).await;
        Ok(())
    }

    /// Tells the nodes of everybody who may have a conversation.
    pub(crate) async fn tell_change(
        &self,
        conversation: Conversation,
        logged: Logged,
        session: u64,
        change: Change,
    ) {
        let nodes: Arc<[NodeRef]> = match (logged.routing, conversation.group()) {
            (Routing::Group { version }, Some(group)) => {
                match self.inner.routes.of(vec![(group.clone(), version)]).await {
                    Ok(nodes) => nodes.into_iter().next().unwrap_or_default(),
                    Err(error) => {
                        tracing::warn!(%error, "the routing of a group cannot be read; members will find the change in the store");
                        return;
                    }
                }
            }
            (Routing::Direct(nodes), _) => nodes.into(),
            (Routing::Group { .. }, None) => return,
        };
        let hint = ChangeHint {
            conversation,
            rev: logged.rev,
            previous_rev: logged.previous_rev,
            members_version: logged.members_version,
            origin_session: session,
            audience: None,
            change,
        };
        self.inner.announcer.tell(hints(&nodes, hint)).await;
    }

    /// Tells the nodes of one user's devices of what is not in the log. Best effort: nobody finds it later but by asking.
    async fn tell_own(&self, conversation: Conversation, user: User, session: u64, change: Change) {
        let mut nodes: Vec<NodeRef> = match self.inner.store.presence(vec![user.clone()]).await {
            Ok(presence) => {
                presence.into_iter().flat_map(|of| of.devices).map(|device| device.node).collect()
            }
            Err(error) => return tracing::warn!(%error, "a user's other devices are not told what was read"),
        };
        nodes.sort_unstable();
        nodes.dedup();
        let hint = ChangeHint {
            conversation,
            rev: 0,
            previous_rev: 0,
            members_version: 0,
            origin_session: session,
            audience: Some(user),
            change,
        };
        self.inner.announcer.tell(hints(&nodes, hint)).await;
    }
}

fn hints(nodes: &[NodeRef], hint: ChangeHint) -> Vec<(NodeRef, Payload)> {
    nodes.iter().map(|node| (node.clone(), Payload::Changed(hint.clone()))).collect()
}

fn refused(refusal: RecallRefusal) -> Refusal {
    let code = match refusal {
        RecallRefusal::NotFound => Code::NotFound,
        RecallRefusal::NotSender | RecallRefusal::TooLate | RecallRefusal::OldEpoch => Code::Forbidden,
    };
    Refusal::new(code, refusal.to_string())
}
