//! Whether a node can do its work, and if not, what it waits for.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

/// The named conditions of one node; it is ready when all of them hold. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    conditions: Mutex<Vec<ConditionReport>>,
    changed: watch::Sender<()>,
}

/// One condition. Keep it, and say when it begins or ceases to hold. Dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct Condition {
    readiness: Readiness,
    name: &'static str,
}

/// All conditions at one moment: the body of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadinessReport {
    /// Whether all conditions hold.
    pub ready: bool,
    /// In the order in which they were named.
    pub conditions: Vec<ConditionReport>,
}

/// One condition at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConditionReport {
    /// Its name, short: `store`.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// For people: what it waits for, or what it found.
    pub detail: String,
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(Inner { conditions: Mutex::default(), changed: watch::Sender::new(()) }))
    }
}

impl Readiness {
    /// Names a condition that does not hold yet, and says what it waits for. A name that is there already is set back.
    pub fn condition(&self, name: &'static str, waiting_for: impl Into<String>) -> Condition {
        self.set(name, false, waiting_for.into());
        Condition { readiness: self.clone(), name }
    }

    /// Whether all conditions hold. A node without any is not ready: it has not said anything yet.
    pub fn is_ready(&self) -> bool {
        all_hold(&self.0.conditions.lock())
    }

    /// All conditions, now.
    pub fn report(&self) -> ReadinessReport {
        let conditions = self.0.conditions.lock().clone();
        ReadinessReport { ready: all_hold(&conditions), conditions }
    }

    /// Waits until all conditions hold.
    pub async fn ready(&self) {
        let mut changed = self.0.changed.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = changed.wait_for(|()| self.is_ready()).await;
    }

    /// Waits until the report fits.
    #[cfg(test)]
    pub(crate) async fn changed(&self, fits: impl Fn(&ReadinessReport) -> bool) {
        let mut changed = self.0.changed.subscribe();
        let _ = changed.wait_for(|()| fits(&self.report())).await;
    }

    fn set(&self, name: &'static str, ok: bool, detail: String) {
        let mut conditions = self.0.conditions.lock();
        match conditions.iter_mut().find(|condition| condition.name == name) {
            Some(known) => {
                if known.ok != ok {
                    tracing::debug!(condition = name, ok, "{detail}");
                }
                known.ok = ok;
                known.detail = detail;
            }
            None => conditions.push(ConditionReport { name, ok, detail }),
        }
        drop(conditions);
        self.0.changed.send_replace(());
    }
}

impl Condition {
    /// It holds; `detail` says what was found (may be empty).
    pub fn ok(&self, detail: impl Into<String>) {
        self.readiness.set(self.name, true, detail.into());
    }

    /// It does not hold; `detail` says what it waits for.
    pub fn waiting(&self, detail: impl Into<String>) {
        self.readiness.set(self.name, false, detail.into());
    }
}

fn all_hold(conditions: &[ConditionReport]) -> bool {
    !conditions.is_empty() && conditions.iter().all(|condition| condition.ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_is_ready_when_every_condition_holds() {
        let readiness = Readiness::default();
        assert!(!readiness.is_ready(), "a node that has said nothing is not ready");
        let store = readiness.condition("store", "opening");
        let relay = readiness.condition("relay", "subscribing");
        store.ok("");
        assert!(!readiness.is_ready());

        let waiter = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        relay.ok("subscribed");
        waiter.await.expect("the wait ends");

        store.waiting("the disk is full");
        let report = readiness.report();
        assert!(!report.ready);
        assert_eq!(report.conditions[0].detail, "the disk is full");
        assert!(report.conditions[1].ok);
    }
}
