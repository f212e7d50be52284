//! Reads what one connection has not got, at the speed it reads. Resume, gaps of one connection and slow readers all come here.

use std::{sync::Arc, time::Duration};

use socket::{Backlog, Frame};
use store::{Page, Span, StoreError};
use tokio::time;
use wire::Conversation;

use super::{Hub, Sequencer, fill::message_frame, gap, sequencer::Caught};
use crate::connection::Connection;

/// How long to wait before the store is asked again after it failed.
pub(super) const STORE_RETRY: Duration = Duration::from_millis(500);

/// How long to wait before reading again what was not there yet.
const BEHIND_PAUSE: Duration = Duration::from_millis(2);

/// Where a connection begins to read.
struct Start {
    /// What follows is to be read.
    position: u64,
    since: Since,
    /// What this very connection was given before its user left the group and came back: of that nothing is told again.
    given: u64,
}

/// Why a connection begins where it does.
enum Since {
    /// Everything before was given to it, or confirmed by its device.
    Given,
    /// Its device has been known for long and has confirmed nothing: what was sent before it existed is not its.
    Birth,
    /// Its device is new: a user's first one begins with what retention has left when it connects.
    Now,
}

impl Start {
    /// Up to where the device has everything, or has no claim to it: what is missing after that is told.
    ///
    /// `newer`: the oldest message that is left was sent after the connection began.
    fn has_up_to(&self, page: &Page, newer: bool) -> u64 {
        match self.since {
            Since::Given => self.position,
            // Of what was trimmed nobody knows when it was sent. Better told too much than silently left out.
            Since::Birth if self.position < page.first_seq => self.given,
            Since::Birth => self.position,
            Since::Now if self.position < page.first_seq && newer => self.given,
            Since::Now => u64::MAX,
        }
    }
}

/// Why a connection stops catching up with one conversation.
pub(super) enum Stop {
    /// The connection is gone.
    Closed,
    /// It does not subscribe any more.
    Gone,
    /// The store failed: it is tried again.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Hub {
    /// Queues a conversation for a connection to catch up with; one task works on a connection's queue at a time.
    pub(super) fn catch_up(&self, connection: &Arc<Connection>, sequencer: Arc<Sequencer>) {
        if connection.queue_catch_up(sequencer) {
            self.work_on_catch_up(connection.clone());
        }
    }

    /// `ready` was sent: what was queued until now begins.
    pub(crate) fn open_catch_up(&self, connection: &Arc<Connection>) {
        if connection.open_catch_up() {
            self.work_on_catch_up(connection.clone());
        }
    }

    fn work_on_catch_up(&self, connection: Arc<Connection>) {
        let Some(hub) = self.this.upgrade() else { return };
        self.spawn(async move {
            while let Some(sequencer) = connection.next_catch_up() {
                loop {
                    match hub.catch_up_with(&connection, &sequencer).await {
                        Ok(()) | Err(Stop::Gone) => break,
                        Err(Stop::Closed) => return,
                        Err(Stop::Store(error)) => {
                            tracing::warn!(%error, conversation = %sequencer.conversation(), "catching up waits for the store");
                            time::sleep(STORE_RETRY).await;
                        }
                    }
                }
                hub.remove_those_who_left(&sequencer);
            }
        });
    }

    async fn catch_up_with(
        &self,
        connection: &Arc<Connection>,
        sequencer: &Arc<Sequencer>,
    ) -> Result<(), Stop> {
        // One that is live already, for it was queued twice, would be given the same from two sides.
        if !sequencer.is_catching_up(connection) {
            return Err(Stop::Gone);
        }
        let mut start = match sequencer.given_to(connection) {
            Some(position) => Start { position, since: Since::Given, given: position },
            None => self.start_of(connection, sequencer).await?,
        };
        let conversation = sequencer.conversation();
        let mut given_rev =
            connection.given_changes(conversation).unwrap_or_else(|| self.changes_floor(connection));
        let mut position = start.position;
        loop {
            let (page, spans, members_version) = {
                let _permit = self.pages.acquire().await.map_err(|_| Stop::Closed)?;
                let page = self.page_after(sequencer, position).await?;
                let (spans, members_version) = self.spans_now(connection, sequencer).await?;
                (page, spans, members_version)
            };
            let begins_at = gap::begins_at(&page);
            if position < begins_at {
                let newer = matches!(start.since, Since::Now)
                    && self.is_newer(connection, conversation, &page).await?;
                let has = start.has_up_to(&page, newer);
                for frame in gap::frames(sequencer.conversation(), has, begins_at, spans.as_deref()) {
                    give(connection, &frame).await?;
                }
                position = begins_at - 1;
                sequencer.gave(connection, position);
            }
            for message in &page.messages {
                let theirs =
                    spans.as_ref().is_none_or(|spans| spans.iter().any(|span| span.holds(message.seq)));
                let own = message.origin_session == connection.identity.session;
                if theirs && !own {
                    let Some(frame) = message_frame(message) else { continue };
                    give(connection, &frame).await?;
                    self.counters.caught_up();
                }
                position = message.seq;
                sequencer.gave(connection, position);
            }
            if spans.as_ref().is_some_and(|spans| is_past(spans, position)) {
                // What follows is not the user's, and may be long.
                sequencer.gave(connection, position);
                self.remove_those_who_left(sequencer);
                if !sequencer.holds(connection) {
                    return Err(Stop::Gone);
                }
            }
            start = Start { position, since: Since::Given, given: position };
            if !page.messages.is_empty() {
                continue;
            }
            if page.rev > given_rev {
                // After the messages, so that one that was recalled meanwhile is told to be so.
                given_rev = self.give_changes(connection, conversation, spans.as_deref(), given_rev).await?;
                continue;
            }
            match sequencer.caught_up(connection, position, members_version, page.rev) {
                Caught::Live => return Ok(()),
                Caught::Gone => return Err(Stop::Gone),
                // What came meanwhile is in the store: it was stored before it was handed out. The pause keeps a hint that
                // says otherwise from turning this into a busy loop.
                Caught::Behind => time::sleep(BEHIND_PAUSE).await,
            }
        }
    }

    /// The user's spans in a group as they are now; `None` in direct conversations.
    async fn spans_now(
        &self,
        connection: &Connection,
        sequencer: &Sequencer,
    ) -> Result<(Option<Arc<[Span]>>, u64), StoreError> {
        let Some(group) = sequencer.conversation().group() else { return Ok((None, 0)) };
        let user = &connection.identity.key.user;
        let memberships = self.store.memberships(vec![(user.clone(), group.clone())]).await?;
        let Some(membership) = memberships.into_iter().next() else { return Ok((None, 0)) };
        let spans: Arc<[Span]> = membership.spans.into();
        sequencer.set_spans_of(user, &spans, membership.members_version);
        Ok((Some(spans), membership.members_version))
    }

    /// Where a connection starts: its device's cursor, or else what was there before the device's time. Of a group nothing from
    /// before the user's time, and nothing that this very connection was given before the user left and came back.
    async fn start_of(&self, connection: &Connection, sequencer: &Sequencer) -> Result<Start, StoreError> {
        if let Some(group) = sequencer.conversation().group() {
            // Where the store failed while the group was joined, this has not been done yet.
            self.want(std::slice::from_ref(group)).await?;
        }
        let (spans, _) = self.spans_now(connection, sequencer).await?;
        let joined = spans.as_ref().and_then(|spans| spans.first()).map_or(1, |span| span.joined_seq);
        let cursors = self.store.cursors(&connection.identity.key).await?;
        let (start, since) = match cursors.get(sequencer.conversation()) {
            Some(&cursor) => (cursor, Since::Given),
            None => {
                let seqs = self.before_birth(connection, vec![sequencer.conversation().clone()]).await?;
                let known = connection.registered().is_some_and(|registered| registered.known);
                (seqs.first().copied().unwrap_or(0), if known { Since::Birth } else { Since::Now })
            }
        };
        let given = connection.given_before_leaving(sequencer.conversation());
        let position = start.max(joined.saturating_sub(1));
        Ok(if given > position {
            Start { position: given, since: Since::Given, given }
        } else {
            Start { position, since, given }
        })
    }

    /// Whether the oldest message that retention has left, or the last one that it took if none is left, was sent after the connection
    /// began: so perhaps some that it took were.
    async fn is_newer(
        &self,
        connection: &Connection,
        conversation: &Conversation,
        page: &Page,
    ) -> Result<bool, StoreError> {
        let began = connection.registered().map_or(i64::MAX, |registered| registered.since_at);
        let sent_at = match page.messages.first() {
            Some(oldest) => oldest.sent_at,
            None => {
                self.store.heads(vec![conversation.clone()]).await?.first().map_or(0, |head| head.last_at)
            }
        };
        Ok(sent_at > began)
    }

    /// The last `seq` of each conversation that was sent before the device existed.
    pub(crate) async fn before_birth(
        &self,
        connection: &Connection,
        conversations: Vec<Conversation>,
    ) -> Result<Vec<u64>, StoreError> {
        match connection.registered().map_or(0, |registered| registered.born_at) {
            0 => Ok(vec![0; conversations.len()]),
            // What was sent within the millisecond of its birth may have come after it: better twice than never.
            born_at => self.store.seqs_at(born_at - 1, conversations).await,
        }
    }
}

/// Sends a frame as soon as there is room for it.
pub(super) async fn give(connection: &Connection, frame: &Frame) -> Result<(), Stop> {
    while let Err(backlog) = connection.outlet.send(frame) {
        if backlog == Backlog::Closed || connection.outlet.writable().await.is_err() {
            return Err(Stop::Closed);
        }
    }
    Ok(())
}

/// Whether nothing after `position` is the user's.
fn is_past(spans: &[Span], position: u64) -> bool {
    spans.last().is_none_or(|last| last.left_seq.is_some_and(|left| position + 1 >= left))
}
