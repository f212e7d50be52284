//! One time of being active: claim, wait, renew, release.

use std::{sync::Arc, time::Duration};

use boot::Condition;
use roster::Leadership;
use snowflake::{Clock, Generator, layout};
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::{
    counters::Counters,
    dispenser::Dispenser,
    lease::Lease,
    reservation,
    watermark::{Claim, Watermark, WatermarkError},
};

/// How often a wait looks at the boot clock, which timers do not follow through a suspended machine.
const LOOK: Duration = Duration::from_millis(20);

/// Between two writes where requests need more than is reserved.
const WRITE_GAP: Duration = Duration::from_millis(5);

/// After a write that failed.
const RETRY: Duration = Duration::from_millis(50);

/// Why a term has ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("it stops")]
    Stopped,
    #[error("the roster no longer lists it as elected")]
    Lost,
    #[error(transparent)]
    Watermark(#[from] WatermarkError),
}

/// What a term works with.
pub(crate) struct Term<'a> {
    pub(crate) watermark: &'a mut Watermark,
    pub(crate) dispenser: &'a Dispenser,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) counters: &'a Counters,
    pub(crate) duty: &'a Condition,
    pub(crate) stop: &'a CancellationToken,
}

impl Term<'_> {
    /// From the election to the end; ids are served in between. Afterwards the dispenser is closed.
    pub(crate) async fn run(mut self, leadership: &dyn Leadership) -> End {
        let lost = leadership.lost();
        let mut claim = match self.take_over(&lost).await {
            Ok(claim) => claim,
            Err(end) => return end,
        };
        let end = self.keep(&mut claim, &lost).await;
        if let Some(untouched_ms) = self.dispenser.close(end.to_string()) {
            // Best effort: without it the successor waits, and starts at the reservation's end.
            if let Err(error) = self.watermark.release(claim, untouched_ms).await {
                tracing::info!(%error, "the watermark was not released: a successor waits out the lease");
            }
        }
        end
    }

    /// Claims, waits for the predecessor, and opens the dispenser. A claim that is given up in between is not released:
    /// the predecessor may still serve.
    async fn take_over(&mut self, lost: &CancellationToken) -> Result<Claim, End> {
        let mut sent = self.clock.boot_ms();
        let mut claim = self.watermark.claim().await?;
        if claim.wait_ms > 0 {
            let predecessor = claim.predecessor.as_ref().map_or("nobody", |node| &*node.id);
            self.duty
                .waiting(format!("elected: waiting {} ms for the lease of {predecessor}", claim.wait_ms));
            tracing::info!(predecessor, wait_ms = claim.wait_ms, "elected: waiting out the old lease");
            self.wait_out(claim.free_boot_ms, lost).await?;
            sent = self.clock.boot_ms();
            let until_ms = claim.until_ms.max(self.now_ms() + self.watermark.bounds().reserve_ms);
            self.watermark.renew(&mut claim, until_ms).await?;
        }
        if lost.is_cancelled() {
            return Err(End::Lost);
        }
        let bounds = self.watermark.bounds();
        let lease = Lease::granted(bounds.lease_ms, sent);
        self.dispenser.open(Generator::new(bounds.worker, claim.floor_ms), claim.until_ms, lease);
        if claim.predecessor.is_some() {
            self.counters.took_over();
        }
        self.duty.ok("active");
        tracing::info!(from_at = layout::to_unix(claim.floor_ms), "this is the active idgen");
        Ok(claim)
    }

    async fn wait_out(&self, end_boot_ms: u64, lost: &CancellationToken) -> Result<(), End> {
        while self.clock.boot_ms() < end_boot_ms {
            tokio::select! {
                () = lost.cancelled() => return Err(End::Lost),
                () = self.stop.cancelled() => return Err(End::Stopped),
                () = time::sleep(LOOK) => {}
            }
        }
        Ok(())
    }

    /// Renews reservation and lease, a third of the lease apart, so that two writes may fail in a row.
    async fn keep(&mut self, claim: &mut Claim, lost: &CancellationToken) -> End {
        let bounds = self.watermark.bounds();
        let period = Duration::from_millis(bounds.lease_ms / 3);
        let mut last_sent = self.clock.boot_ms();
        loop {
            tokio::select! {
                () = lost.cancelled() => return End::Lost,
                () = self.stop.cancelled() => return End::Stopped,
                () = self.dispenser.wanted() => time::sleep(WRITE_GAP).await,
                () = time::sleep(period) => {}
            }
            let sent = self.clock.boot_ms();
            let until_ms = reservation::next_until(
                self.now_ms(),
                self.dispenser.untouched_ms().unwrap_or(0),
                claim.until_ms,
                sent.saturating_sub(last_sent),
                bounds.reserve_ms,
            );
            // Not given up at `stop`: the release that follows needs the version that this write makes.
            let renewed = tokio::select! {
                biased;
                () = lost.cancelled() => return End::Lost,
                renewed = self.watermark.renew(claim, until_ms) => renewed,
            };
            match renewed {
                Ok(()) => {
                    last_sent = sent;
                    self.dispenser.extend(until_ms, sent);
                    self.counters.set_lead(layout::to_unix(until_ms).saturating_sub(self.clock.wall_ms()));
                }
                Err(WatermarkError::Roster(error)) => {
                    tracing::warn!(%error, "the watermark was not renewed");
                    time::sleep(RETRY).await;
                }
                Err(error) => return error.into(),
            }
        }
    }

    fn now_ms(&self) -> u64 {
        layout::followed_ms(self.clock.wall_ms())
    }
}
