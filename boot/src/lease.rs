//! Shows how the lease of the Sentinels stands under which the store acknowledges.

use redis_link::LeaseStanding;
use tokio::sync::watch;

use crate::Readiness;

/// Shows it as a condition that always holds: a node that cannot store for a moment has nowhere better to send its clients. Ends
/// with the store.
pub(crate) fn show(readiness: &Readiness, mut lease: watch::Receiver<LeaseStanding>) {
    let condition = readiness.condition("lease", "starting");
    crate::spawn(async move {
        loop {
            condition.ok(lease.borrow_and_update().to_string());
            if lease.changed().await.is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_missing_lease_is_named() {
        let (readiness, shown) = (Readiness::default(), watch::Sender::new(LeaseStanding::Holds));
        show(&readiness, shown.subscribe());
        let says = |part: &'static str| {
            let readiness = readiness.clone();
            async move {
                let told =
                    readiness.changed(|report| report.ready && report.conditions[0].detail.starts_with(part));
                timeout(Duration::from_secs(20), told).await.expect(part);
            }
        };
        says("held").await;
        shown.send_replace(LeaseStanding::Missing);
        says("missing: too few sentinels").await;
        shown.send_replace(LeaseStanding::Unfit("why".into()));
        says("not used: why").await;
    }
}
