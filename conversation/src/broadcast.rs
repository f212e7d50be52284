//! Messages to everybody who is connected: an id, and on to every spear. Nothing is stored.

use bytes::Bytes;
use wire::{Broadcast, BroadcastHint, NodeRef, Payload, time::now_ms};

use crate::{BroadcastRequest, Conversations, Refusal, RoomSent, send};

impl Conversations {
    /// Sends a message to everybody who is connected to `nodes`; whether the sender may, the caller knows. Who is not reached
    /// now never is.
    ///
    /// # Errors
    /// `too_large`; `bad_request` for a `type` or a `cid` that is empty or too long; `unavailable` where no id can be had.
    pub async fn broadcast(
        &self,
        request: BroadcastRequest,
        nodes: impl IntoIterator<Item = NodeRef>,
    ) -> Result<RoomSent, Refusal> {
        let BroadcastRequest { from, cid, kind, body } = request;
        send::check_parts(&body, kind.as_deref(), cid.as_deref(), &self.inner.limits)?;
        let ids = self.inner.ids.take(1).await.map_err(|error| {
            tracing::warn!(%error, "no id: a message to everybody is refused");
            Refusal::unavailable("no message ids can be had")
        })?;
        let id = ids.into_iter().next().ok_or_else(|| Refusal::unavailable("no message ids can be had"))?;
        let sent_at = now_ms();
        let kind = kind.unwrap_or_else(|| send::DEFAULT_KIND.into());
        let json = serde_json::to_vec(&Broadcast { id, cid, from, kind, body, sent_at });
        let json = Bytes::from(json.map_err(|error| Refusal::bad_request(error.to_string()))?);
        let hint = BroadcastHint { sent_at, json };
        let hints = nodes.into_iter().map(|node| (node, Payload::Broadcast(hint.clone())));
        self.inner.announcer.tell(hints.collect()).await;
        metrics::counter!("phalanx_broadcasts_total").increment(1);
        Ok(RoomSent { id, sent_at })
    }
}
