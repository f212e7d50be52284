//! Leaving: no newcomers, `migrate` to those who are here, then the rest are closed.

use std::time::Duration;

use boot::{Membership, Shutdown};
use serde_json::json;
use socket::Frame;
use tokio::time;

use crate::context::Context;

/// How often it is looked whether everybody has gone.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What is kept of the drain time for closing those who stay, and for leaving the roster.
const FOR_CLOSING: Duration = Duration::from_secs(1);

/// Drains within the shutdown's drain time, and leaves the roster.
pub(crate) async fn drain(context: &Context, member: Membership, shutdown: &Shutdown) {
    let hub = &context.hub;
    // First the roster, so that tickets avoid this node; then the door.
    member.announce_drain().await;
    context.admission.drain();
    let time_to_leave = shutdown.remaining().saturating_sub(FOR_CLOSING);
    let after_ms = u64::try_from(time_to_leave.as_millis()).unwrap_or(u64::MAX);
    let migrate = Frame::event("migrate", &json!({ "after_ms": after_ms }).to_string());
    let connections = hub.connections();
    tracing::info!(connections = connections.len(), after_ms, "draining");
    for connection in &connections {
        // One whose queue is full is closed at the end.
        let _ = connection.outlet.send(&migrate);
    }
    drop(connections);
    drop(time::timeout(time_to_leave, everybody_gone(context)).await);
    let staying = hub.connections();
    if !staying.is_empty() {
        tracing::info!(connections = staying.len(), "closing those who stayed");
        for connection in staying {
            connection.outlet.close();
        }
        drop(time::timeout(FOR_CLOSING, everybody_gone(context)).await);
    }
    member.leave().await;
}

async fn everybody_gone(context: &Context) {
    while context.hub.counters.connection_count() > 0 {
        time::sleep(LOOK_AGAIN).await;
    }
}
