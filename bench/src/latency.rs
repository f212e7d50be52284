//! Percentiles of latencies.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest that is told apart: 2 minutes, in microseconds.
const MAX_MICROS: u64 = 120_000_000;

/// Latencies, to a thousandth of each.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        // Constant bounds, which the library takes.
        #[expect(clippy::expect_used, reason = "1 ≤ MAX_MICROS / 2, and 3 digits are allowed")]
        Self(Histogram::new_with_bounds(1, MAX_MICROS, 3).expect("valid bounds"))
    }
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(MAX_MICROS));
    }

    /// The latency that this share (0 to 1) stays at or below, in milliseconds; 0 without any.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1_000.0
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut latencies = Latencies::default();
        for ms in 1..=1_000 {
            latencies.add(Duration::from_millis(ms));
        }
        assert_eq!(latencies.count(), 1_000);
        for (share, ms) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = latencies.quantile_ms(share);
            assert!((found - ms).abs() / ms < 0.002, "{share}: {found}");
        }
    }

    #[test]
    fn what_took_too_long_is_counted_at_the_bound() {
        let mut latencies = Latencies::default();
        latencies.add(Duration::from_secs(3_600));
        assert!(latencies.quantile_ms(0.5) >= 119_000.0);
    }
}
