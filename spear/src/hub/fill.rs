//! Reads what is missing from the store, for those who are live.

use std::sync::Arc;

use socket::Frame;
use store::{Direction, Page, PageRequest, Span, StoreError};
use tokio::time;
use wire::{Message, User};

use super::{
    Hub,
    catch_up::STORE_RETRY,
    gap,
    sequencer::{Missing, Outgoing, Sequencer},
};

/// The most messages and bytes that are read at once: bounds the memory of one fill.
const PAGE_MESSAGES: usize = 100;
const PAGE_BYTES: usize = 512 << 10;

impl Hub {
    /// Begins to fill; the sequencer has noted that somebody does.
    pub(super) fn fill(&self, sequencer: Arc<Sequencer>) {
        let Some(hub) = self.this.upgrade() else { return };
        self.counters.gap();
        self.spawn(async move {
            while let Some(missing) = sequencer.missing() {
                match hub.fill_page(&sequencer, &missing).await {
                    Ok(true) => {}
                    Ok(false) => sequencer.nothing_more(&missing),
                    Err(error) => {
                        // Not left to a sweep: it may have taken this inbox for compared.
                        tracing::warn!(%error, conversation = %sequencer.conversation(), "filling a gap waits for the store");
                        time::sleep(STORE_RETRY).await;
                    }
                }
            }
            hub.remove_those_who_left(&sequencer);
        });
    }

    /// Answers whether there was anything.
    async fn fill_page(&self, sequencer: &Arc<Sequencer>, missing: &Missing) -> Result<bool, StoreError> {
        let page = self.page_after(sequencer, missing.after).await?;
        if gap::begins_at(&page) > missing.after + 1 {
            // Retention was faster: each is told what it has not got.
            let demoted = sequencer.demote_all();
            for connection in demoted.behind {
                connection.gave_changes(sequencer.conversation(), demoted.behind_rev);
                self.catch_up(&connection, sequencer.clone());
            }
            return Ok(true);
        }
        // The spans are read after the messages: whoever left before one of them was sent is known to have left.
        let members_changed = self.read_spans(sequencer, missing.users.clone()).await?;
        for message in &page.messages {
            let Some(frame) = message_frame(message) else { continue };
            let outgoing =
                Outgoing { seq: message.seq, origin_session: message.origin_session, frame: &frame };
            let handed = sequencer.hand(&outgoing);
            if handed.deliveries > 0 {
                self.counters.delivered(handed.deliveries, message.sent_at);
            }
            self.demote(handed, sequencer);
        }
        // After the messages: what was recalled is told to those who have it already.
        let has_changed = page.rev > missing.after_rev;
        if has_changed {
            self.fill_changes(sequencer, missing.after_rev).await?;
        }
        Ok(members_changed || has_changed || !page.messages.is_empty())
    }

    /// The messages after `after`, ascending.
    pub(super) async fn page_after(&self, sequencer: &Sequencer, after: u64) -> Result<Page, StoreError> {
        let request = PageRequest {
            conversation: sequencer.conversation().clone(),
            after,
            before: u64::MAX,
            limit: PAGE_MESSAGES,
            max_bytes: PAGE_BYTES,
            direction: Direction::Forwards,
        };
        let pages = self.store.pages(vec![request]).await?;
        Ok(pages.into_iter().next().unwrap_or_default())
    }

    /// Reads the spans of all who subscribe to a group; answers whether the members version is newer than before.
    async fn read_spans(&self, sequencer: &Arc<Sequencer>, users: Vec<User>) -> Result<bool, StoreError> {
        let Some(group) = sequencer.conversation().group() else { return Ok(false) };
        let of = users.into_iter().map(|user| (user, group.clone())).collect::<Vec<_>>();
        if of.is_empty() {
            return Ok(false);
        }
        let memberships = self.store.memberships(of.clone()).await?;
        let version = memberships.iter().map(|each| each.members_version).min().unwrap_or_default();
        let spans: Vec<(User, Arc<[Span]>)> = of
            .into_iter()
            .zip(memberships)
            .map(|((user, _), membership)| (user, Arc::from(membership.spans)))
            .collect();
        let before = sequencer.members_version();
        let demoted = sequencer.set_all_spans(&spans, version);
        for connection in demoted.behind {
            connection.gave_changes(sequencer.conversation(), demoted.behind_rev);
            self.catch_up(&connection, sequencer.clone());
        }
        Ok(version > before)
    }
}

/// The `message` event of a message that was read from the store.
pub(super) fn message_frame(message: &Message) -> Option<Frame> {
    match serde_json::to_string(message) {
        Ok(json) => Some(Frame::event("message", &json)),
        Err(error) => {
            tracing::error!(%error, id = %message.id, "a stored message cannot be encoded");
            None
        }
    }
}
