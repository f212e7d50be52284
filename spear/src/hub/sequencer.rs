//! One conversation on this node: what comes next, and who gets it.
//!
//! Each subscriber is either *live* (gets what is handed out here) or *catching up* (reads from the store at its own
//! pace). The switch happens under this conversation's lock, so nothing falls between the two.

use std::sync::Arc;

use parking_lot::Mutex;
use socket::{Backlog, Frame};
use store::Span;
use wire::{Change, ChangeHint, Conversation, MessageHint, User};

use crate::connection::Connection;

/// One conversation on this node.
pub(crate) struct Sequencer {
    conversation: Conversation,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Everything up to here was handed to those who are live.
    last_seq: u64,
    /// The highest `seq` that is known to exist.
    wanted_seq: u64,
    /// Everything of the change log up to here was handed to those who are live.
    rev: u64,
    /// The highest `rev` that is known to exist.
    wanted_rev: u64,
    /// The spans of all subscribers are at least as new as this members version.
    members_version: u64,
    /// The newest members version that is known to exist.
    wanted_members: u64,
    /// Somebody reads what is missing from the store.
    filling: bool,
    /// Ascending by address: large groups have thousands, and each acknowledgement looks one up.
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    connection: Arc<Connection>,
    /// The members version at which `member` was read.
    members_version: u64,
    member: Member,
    /// Everything up to here was given to this connection, or is not its; `None` until its cursor is read.
    given: Option<u64>,
    live: bool,
}

/// When the user of a subscriber was a member.
enum Member {
    /// A direct conversation, or not read yet.
    Always,
    /// From this `seq` on, as nearly all are: without memory of its own.
    Since(u64),
    Spans(Arc<[Span]>),
}

/// What is to be read from the store for those who are live.
pub(super) struct Missing {
    /// The last `seq` that is there.
    pub(super) after: u64,
    /// The last change that is there.
    pub(super) after_rev: u64,
    /// Whose spans are to be read again; empty in direct conversations.
    pub(super) users: Vec<User>,
    /// What was known to exist when this was asked for.
    wanted: (u64, u64, u64),
}

/// A message on its way to those who are live.
pub(super) struct Outgoing<'a> {
    pub(super) seq: u64,
    pub(super) origin_session: u64,
    pub(super) frame: &'a Frame,
}

/// A change on its way to those who are live.
pub(super) struct OutgoingChange<'a> {
    pub(super) rev: u64,
    pub(super) origin_session: u64,
    pub(super) change: &'a Change,
    pub(super) frame: &'a Frame,
}

/// What became of a subscriber who had caught up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Caught {
    /// It is live now.
    Live,
    /// More has come meanwhile.
    Behind,
    /// It is no subscriber any more.
    Gone,
}

/// What handing out did: who fell behind, and how many got it.
#[derive(Default)]
pub(super) struct Handed {
    pub(super) deliveries: u64,
    pub(super) behind: Vec<Arc<Connection>>,
    /// Those who fell behind have got every change up to here.
    pub(super) behind_rev: u64,
}

/// What a hint led to.
pub(super) struct Offered {
    pub(super) handed: Handed,
    /// The caller is to fill what is missing.
    pub(super) fill: bool,
}

impl Sequencer {
    pub(super) fn new(conversation: Conversation) -> Self {
        Self { conversation, state: Mutex::default() }
    }

    pub(crate) fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// How far a connection was given this conversation; `None` where it is no subscriber or not known yet.
    pub(crate) fn given_to(&self, connection: &Connection) -> Option<u64> {
        self.state.lock().find(connection)?.given
    }

    /// Takes a hint: hands the message out if it is the next one, drops it if it is old, and else asks for a fill.
    pub(super) fn offer(&self, hint: &MessageHint, frame: impl FnOnce() -> Frame) -> Offered {
        let mut state = self.state.lock();
        state.wanted_seq = state.wanted_seq.max(hint.seq);
        state.wanted_members = state.wanted_members.max(hint.members_version);
        let nothing = |fill| Offered { handed: Handed::default(), fill };
        if hint.seq <= state.last_seq || state.filling {
            return nothing(false);
        }
        if !state.subscribers.iter().any(|subscriber| subscriber.live) {
            // Those who catch up find it in the store.
            state.last_seq = hint.seq;
            return nothing(false);
        }
        if hint.seq == state.last_seq + 1 && hint.members_version <= state.members_version {
            let frame = frame();
            let outgoing = Outgoing { seq: hint.seq, origin_session: hint.origin_session, frame: &frame };
            return Offered { handed: state.hand(&outgoing), fill: false };
        }
        state.filling = true;
        nothing(true)
    }

    /// Takes a hint of a change: hands it out if it is the next one, drops it if it is old, and else asks for a fill.
    pub(super) fn offer_change(&self, hint: &ChangeHint, frame: impl FnOnce() -> Option<Frame>) -> Offered {
        let mut state = self.state.lock();
        state.wanted_rev = state.wanted_rev.max(hint.rev);
        state.wanted_members = state.wanted_members.max(hint.members_version);
        if let Change::Recalled { seq, .. } = hint.change {
            // Handed out first, the message would come after it with its body, from a hint that was late.
            state.wanted_seq = state.wanted_seq.max(seq);
        }
        let nothing = |fill| Offered { handed: Handed::default(), fill };
        if hint.rev <= state.rev || state.filling {
            return nothing(false);
        }
        if !state.subscribers.iter().any(|subscriber| subscriber.live) {
            state.leave_to_catching_up();
            return nothing(false);
        }
        let is_next = hint.previous_rev <= state.rev && hint.previous_rev < hint.rev;
        let others_behind = state.last_seq < state.wanted_seq || hint.members_version > state.members_version;
        if is_next
            && !others_behind
            && let Some(frame) = frame()
        {
            let outgoing = OutgoingChange {
                rev: hint.rev,
                origin_session: hint.origin_session,
                change: &hint.change,
                frame: &frame,
            };
            return Offered { handed: state.hand_change(&outgoing), fill: false };
        }
        state.filling = true;
        nothing(true)
    }

    /// Learns from the store how far the conversation has come; answers whether the caller is to fill.
    pub(super) fn learn(&self, last_seq: u64, members_version: u64, rev: u64) -> bool {
        let mut state = self.state.lock();
        state.wanted_seq = state.wanted_seq.max(last_seq);
        state.wanted_members = state.wanted_members.max(members_version);
        state.wanted_rev = state.wanted_rev.max(rev);
        if !state.subscribers.iter().any(|subscriber| subscriber.live) {
            state.leave_to_catching_up();
        }
        let fill = !state.filling && state.is_behind();
        state.filling |= fill;
        fill
    }

    /// What is missing; with `None` nothing is, and the fill has ended.
    pub(super) fn missing(&self) -> Option<Missing> {
        let mut state = self.state.lock();
        if !state.subscribers.iter().any(|subscriber| subscriber.live) {
            state.leave_to_catching_up();
            state.filling = false;
            return None;
        }
        if !state.is_behind() {
            state.filling = false;
            return None;
        }
        let mut users = Vec::new();
        if self.conversation.group().is_some() {
            users.extend(state.subscribers.iter().map(|each| each.connection.identity.key.user.clone()));
            users.sort_unstable();
            users.dedup();
        }
        let wanted = (state.wanted_seq, state.wanted_members, state.wanted_rev);
        Some(Missing { after: state.last_seq, after_rev: state.rev, users, wanted })
    }

    /// Hands out what a fill has read.
    pub(super) fn hand(&self, outgoing: &Outgoing<'_>) -> Handed {
        let mut state = self.state.lock();
        if outgoing.seq <= state.last_seq { Handed::default() } else { state.hand(outgoing) }
    }

    /// Hands out a change that a fill has read.
    pub(super) fn hand_change(&self, outgoing: &OutgoingChange<'_>) -> Handed {
        let mut state = self.state.lock();
        if outgoing.rev <= state.rev { Handed::default() } else { state.hand_change(outgoing) }
    }

    /// The change log was handed out up to here.
    pub(super) fn handed_changes(&self, rev: u64) {
        let mut state = self.state.lock();
        state.rev = state.rev.max(rev);
    }

    /// The store holds nothing newer than what is known here, whatever a hint said. What was heard of since then stays wanted.
    pub(super) fn nothing_more(&self, missing: &Missing) {
        let mut state = self.state.lock();
        if missing.wanted == (state.wanted_seq, state.wanted_members, state.wanted_rev) {
            state.wanted_seq = state.last_seq;
            state.wanted_rev = state.rev;
            state.wanted_members = state.members_version;
        }
    }

    /// Replaces the spans of all users who subscribe here (ascending), as they were at `members_version`. Answers the connections that came
    /// while they were read, as those who fell behind: they catch up, and read their own.
    pub(super) fn set_all_spans(&self, spans: &[(User, Arc<[Span]>)], members_version: u64) -> Handed {
        let mut state = self.state.lock();
        let mut handed = Handed { behind_rev: state.rev, ..Handed::default() };
        for subscriber in &mut state.subscribers {
            let user = &subscriber.connection.identity.key.user;
            if let Ok(found) = spans.binary_search_by(|(of, _)| of.cmp(user)) {
                subscriber.set_spans(&spans[found].1, members_version);
            } else if std::mem::take(&mut subscriber.live) {
                handed.behind.push(subscriber.connection.clone());
            }
        }
        state.members_version = state.members_version.max(members_version);
        handed
    }

    /// Nobody is live any more; answers those who were, as those who fell behind.
    pub(super) fn demote_all(&self) -> Handed {
        let mut state = self.state.lock();
        let mut handed = Handed { behind_rev: state.rev, ..Handed::default() };
        for subscriber in &mut state.subscribers {
            if std::mem::take(&mut subscriber.live) {
                handed.behind.push(subscriber.connection.clone());
            }
        }
        handed
    }

    /// Replaces the spans of one subscriber.
    pub(super) fn set_spans(&self, connection: &Connection, spans: &Arc<[Span]>, members_version: u64) {
        if let Some(subscriber) = self.state.lock().find_mut(connection) {
            subscriber.set_spans(spans, members_version);
        }
    }

    /// Replaces the spans of one user.
    pub(super) fn set_spans_of(&self, user: &User, spans: &Arc<[Span]>, members_version: u64) {
        for subscriber in &mut self.state.lock().subscribers {
            if subscriber.connection.identity.key.user == *user {
                subscriber.set_spans(spans, members_version);
            }
        }
    }

    /// The change that led to `members_version` concerned only users whose spans are set now: if it is the next one, nothing else
    /// needs to be read for it.
    pub(super) fn applied(&self, members_version: u64) {
        let mut state = self.state.lock();
        if state.members_version + 1 == members_version {
            state.members_version = members_version;
        }
    }

    /// Adds a subscriber that is not live yet; answers whether it is new.
    pub(super) fn subscribe(&self, connection: &Arc<Connection>) -> bool {
        let mut state = self.state.lock();
        let Err(place) = state.place(connection) else { return false };
        state.subscribers.insert(place, Subscriber::new(connection.clone()));
        true
    }

    /// Whether a connection is a subscriber.
    pub(super) fn holds(&self, connection: &Connection) -> bool {
        self.state.lock().find(connection).is_some()
    }

    /// Whether a connection is a subscriber that is not live.
    pub(super) fn is_catching_up(&self, connection: &Connection) -> bool {
        self.state.lock().find(connection).is_some_and(|subscriber| !subscriber.live)
    }

    /// Notes what a subscriber that catches up was given.
    pub(super) fn gave(&self, connection: &Connection, seq: u64) {
        if let Some(subscriber) = self.state.lock().find_mut(connection) {
            subscriber.given = Some(subscriber.given.map_or(seq, |given| given.max(seq)));
        }
    }

    /// A subscriber has read everything that the store held, up to `seq` and `rev`, with spans of `members_version`.
    pub(super) fn caught_up(
        &self,
        connection: &Connection,
        seq: u64,
        members_version: u64,
        rev: u64,
    ) -> Caught {
        let mut state = self.state.lock();
        let current = state.last_seq <= seq && state.members_version <= members_version && state.rev <= rev;
        let first_live = !state.subscribers.iter().any(|subscriber| subscriber.live);
        let Some(subscriber) = state.find_mut(connection) else { return Caught::Gone };
        subscriber.given = Some(subscriber.given.map_or(seq, |given| given.max(seq)));
        if !current {
            return Caught::Behind;
        }
        subscriber.live = true;
        if first_live {
            state.last_seq = state.last_seq.max(seq);
            state.members_version = state.members_version.max(members_version);
            state.rev = state.rev.max(rev);
        }
        Caught::Live
    }

    /// Removes a subscriber; answers whether nobody is left.
    pub(super) fn unsubscribe(&self, connection: &Connection) -> bool {
        let mut state = self.state.lock();
        if let Ok(place) = state.place(connection) {
            state.subscribers.remove(place);
        }
        state.subscribers.is_empty()
    }

    /// Removes a subscriber of which `members_version` says that nothing is left to give, unless something newer is known.
    pub(super) fn unsubscribe_as_of(&self, connection: &Connection, members_version: u64) -> bool {
        let mut state = self.state.lock();
        let Ok(place) = state.place(connection) else { return false };
        let newer = state.subscribers[place].is_newer_than(members_version);
        if !newer {
            state.subscribers.remove(place);
        }
        !newer
    }

    /// Removes subscribers who have got the last message of their membership; answers them, and what they were given.
    pub(super) fn remove_those_who_left(&self) -> Vec<(Arc<Connection>, Option<u64>)> {
        let mut left = Vec::new();
        self.state.lock().subscribers.retain(|each| {
            let done = match &each.member {
                Member::Always | Member::Since(_) => false,
                Member::Spans(spans) => match spans.last() {
                    Some(last) => {
                        last.left_seq.is_some_and(|seq| each.given.is_some_and(|given| given + 1 >= seq))
                    }
                    // Whoever leaves before a message is sent was never a member.
                    None => true,
                },
            };
            if done {
                left.push((each.connection.clone(), each.given));
            }
            !done
        });
        left
    }

    /// Whether the user of a connection is a member now, as far as it is known here.
    pub(super) fn is_member(&self, connection: &Connection) -> bool {
        self.state.lock().find(connection).is_some_and(Subscriber::is_member)
    }

    /// The connections of those who are members now, as far as it is known here.
    pub(super) fn members(&self) -> Vec<Arc<Connection>> {
        let state = self.state.lock();
        let members = state.subscribers.iter().filter(|subscriber| subscriber.is_member());
        members.map(|subscriber| subscriber.connection.clone()).collect()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.state.lock().subscribers.is_empty()
    }

    /// Whether nobody catches up.
    #[cfg(test)]
    pub(super) fn is_everybody_live(&self) -> bool {
        self.state.lock().subscribers.iter().all(|subscriber| subscriber.live)
    }

    /// Whether anything was heard of the members.
    #[cfg(test)]
    pub(super) fn knows_members(&self) -> bool {
        self.state.lock().wanted_members > 0
    }

    pub(super) fn members_version(&self) -> u64 {
        self.state.lock().members_version
    }
}

impl Subscriber {
    fn new(connection: Arc<Connection>) -> Self {
        Self { connection, members_version: 0, member: Member::Always, given: None, live: false }
    }

    fn set_spans(&mut self, all: &Arc<[Span]>, members_version: u64) {
        // Two readers may finish in the other order: the newer one counts.
        if self.is_newer_than(members_version) {
            return;
        }
        self.members_version = members_version;
        self.member = match **all {
            [Span { joined_seq, left_seq: None }] => Member::Since(joined_seq),
            _ => Member::Spans(all.clone()),
        };
    }

    fn is_newer_than(&self, members_version: u64) -> bool {
        !matches!(self.member, Member::Always) && self.members_version > members_version
    }

    /// Of a group whose spans were read.
    fn is_member(&self) -> bool {
        match &self.member {
            Member::Always => false,
            Member::Since(_) => true,
            Member::Spans(spans) => spans.last().is_some_and(|span| span.left_seq.is_none()),
        }
    }

    fn may_have(&self, seq: u64) -> bool {
        match &self.member {
            Member::Always => true,
            Member::Since(joined_seq) => *joined_seq <= seq,
            Member::Spans(spans) => spans.iter().any(|span| span.holds(seq)),
        }
    }

    fn may_have_change(&self, change: &Change) -> bool {
        match (&self.member, change) {
            (Member::Always, _) => true,
            (Member::Since(joined_seq), change) => {
                is_theirs(change, &[Span { joined_seq: *joined_seq, left_seq: None }])
            }
            (Member::Spans(spans), change) => is_theirs(change, spans),
        }
    }
}

/// Whether a change of a group is to be told to somebody with these spans: of a message that is theirs, or to a member what others
/// have read.
pub(super) fn is_theirs(change: &Change, spans: &[Span]) -> bool {
    match change {
        Change::Recalled { seq, .. } => spans.iter().any(|span| span.holds(*seq)),
        Change::Read { .. } => spans.last().is_some_and(|last| last.left_seq.is_none()),
    }
}

impl State {
    fn is_behind(&self) -> bool {
        self.last_seq < self.wanted_seq
            || self.members_version < self.wanted_members
            || self.rev < self.wanted_rev
    }

    /// Nobody is live: those who catch up find it in the store.
    fn leave_to_catching_up(&mut self) {
        self.last_seq = self.last_seq.max(self.wanted_seq);
        self.rev = self.rev.max(self.wanted_rev);
    }

    /// Where a subscriber is, or belongs.
    fn place(&self, connection: &Connection) -> Result<usize, usize> {
        let address = std::ptr::from_ref(connection);
        self.subscribers.binary_search_by_key(&address, |each| Arc::as_ptr(&each.connection))
    }

    fn find(&self, connection: &Connection) -> Option<&Subscriber> {
        self.place(connection).ok().and_then(|place| self.subscribers.get(place))
    }

    fn find_mut(&mut self, connection: &Connection) -> Option<&mut Subscriber> {
        self.place(connection).ok().and_then(|place| self.subscribers.get_mut(place))
    }

    fn hand(&mut self, outgoing: &Outgoing<'_>) -> Handed {
        let mut handed = Handed { behind_rev: self.rev, ..Handed::default() };
        for subscriber in self.subscribers.iter_mut().filter(|each| each.live) {
            if subscriber.given.is_some_and(|given| given >= outgoing.seq) {
                continue;
            }
            let theirs = subscriber.may_have(outgoing.seq);
            // The connection that sent it has it by its acknowledgement.
            if theirs && subscriber.connection.identity.session != outgoing.origin_session {
                match subscriber.connection.outlet.send(outgoing.frame) {
                    Ok(()) => handed.deliveries += 1,
                    Err(Backlog::Full) => {
                        subscriber.live = false;
                        handed.behind.push(subscriber.connection.clone());
                        continue;
                    }
                    // Its end is on the way.
                    Err(Backlog::Closed) => continue,
                }
            }
            subscriber.given = Some(outgoing.seq);
        }
        self.last_seq = outgoing.seq;
        handed
    }
    fn hand_change(&mut self, outgoing: &OutgoingChange<'_>) -> Handed {
        let mut handed = Handed { behind_rev: self.rev, ..Handed::default() };
        for subscriber in self.subscribers.iter_mut().filter(|each| each.live) {
            let knows = subscriber.connection.identity.session == outgoing.origin_session;
            if knows || !subscriber.may_have_change(outgoing.change) {
                continue;
            }
            if subscriber.connection.outlet.send(outgoing.frame) == Err(Backlog::Full) {
                subscriber.live = false;
                handed.behind.push(subscriber.connection.clone());
            }
        }
        self.rev = outgoing.rev;
        handed
    }
}
