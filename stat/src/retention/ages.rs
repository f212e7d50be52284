//! How old what is kept is, in steps that grow with the age.

use store::Extent;

/// Steps for each doubling of the age: one is 4 % of it.
const STEPS: f64 = 16.0;
/// Up to some 140 years.
const BUCKETS: usize = 42 * STEPS as usize;

/// How many messages are how old. A conversation counts as if its messages had come evenly from its oldest to its newest.
pub(super) struct Ages {
    buckets: Vec<f64>,
    messages: u64,
    oldest_ms: u64,
}

/// The age at which a bucket begins, milliseconds.
fn start_of(bucket: usize) -> f64 {
    (bucket as f64 / STEPS).exp2()
}

fn bucket_of(age_ms: f64) -> usize {
    ((age_ms.max(1.0).log2() * STEPS) as usize).min(BUCKETS - 1)
}

impl Ages {
    pub(super) fn new() -> Self {
        Self { buckets: vec![0.0; BUCKETS], messages: 0, oldest_ms: 0 }
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// `None` where there are no messages.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        (self.messages > 0).then_some(self.oldest_ms)
    }

    pub(super) fn add(&mut self, extent: &Extent) {
        self.messages += extent.messages;
        self.oldest_ms = self.oldest_ms.max(extent.oldest_ms);
        let count = extent.messages as f64;
        let (newest, oldest) = (extent.newest_ms as f64, extent.oldest_ms.max(extent.newest_ms) as f64);
        let (first, last) = (bucket_of(newest), bucket_of(oldest));
        if first == last {
            self.buckets[first] += count;
            return;
        }
        for bucket in first..=last {
            let overlap = start_of(bucket + 1).min(oldest) - start_of(bucket).max(newest);
            self.buckets[bucket] += count * overlap.max(0.0) / (oldest - newest);
        }
    }

    /// The age that about this share of all messages, 0 to 1, has reached, milliseconds. `None` where there are no messages.
    pub(super) fn reached_by(&self, share: f64) -> Option<u64> {
        self.oldest_ms()?;
        let mut wanted = share * self.messages as f64;
        for (bucket, &count) in self.buckets.iter().enumerate().rev() {
            if count >= wanted && count > 0.0 {
                let (start, end) = (start_of(bucket), start_of(bucket + 1).min(self.oldest_ms as f64 + 1.0));
                return Some((end - (end - start).max(0.0) * (wanted / count)) as u64);
            }
            wanted -= count;
        }
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn held(messages: u64, oldest_ms: u64, newest_ms: u64) -> Extent {
        Extent { messages, oldest_ms, newest_ms }
    }

    fn ages(of: impl IntoIterator<Item = Extent>) -> Ages {
        let mut ages = Ages::new();
        of.into_iter().for_each(|extent| ages.add(&extent));
        ages
    }

    /// How many messages of evenly filled conversations are this old or older.
    fn older(of: &[Extent], age_ms: u64) -> f64 {
        of.iter()
            .map(|held| {
                let span = (held.oldest_ms - held.newest_ms).max(1) as f64;
                let part = (held.oldest_ms as f64 - age_ms as f64) / span;
                held.messages as f64 * part.clamp(0.0, 1.0)
            })
            .sum()
    }

    #[test]
    fn a_share_is_the_oldest_part() {
        let of: Vec<_> = (1..=30).map(|n| held(100 * n, n * DAY, (n - 1) * DAY)).collect();
        let total: u64 = of.iter().map(|held| held.messages).sum();
        let ages = ages(of.clone());
        assert_eq!((ages.messages(), ages.oldest_ms()), (total, Some(30 * DAY)));
        for share in [0.01, 0.1, 0.3, 0.5, 0.9] {
            let cut = ages.reached_by(share).expect("there are messages");
            let gone = older(&of, cut) / total as f64;
            assert!((gone - share).abs() < 0.02, "{share}: {gone} at {cut}");
        }
    }

    #[test]
    fn all_of_one_age_go_nearly_together() {
        let ages = ages([held(10, 5_000, 5_000)]);
        let cut = ages.reached_by(0.5).expect("there are messages");
        assert!((4_700..=5_000).contains(&cut), "{cut}");
        assert!(ages.reached_by(1.0).expect("there are messages") <= 5_000);
    }

    #[test]
    fn nothing_has_no_age() {
        assert_eq!(Ages::new().reached_by(0.5), None);
        assert_eq!(Ages::new().oldest_ms(), None);
    }

    #[test]
    fn what_is_sent_now_and_what_is_ancient_is_counted() {
        let ages = ages([held(1, 0, 0), held(1, u64::MAX, u64::MAX), held(5, 2 * DAY, 0)]);
        assert_eq!(ages.messages(), 7);
        let counted: f64 = ages.buckets.iter().sum();
        assert!((counted - 7.0).abs() < 0.01, "{counted}");
    }
}
