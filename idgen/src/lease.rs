//! Until when a node may believe to be the active one, on the boot clock.

/// A lease, counted from the moment *before* the write that renewed it was sent.
///
/// A successor writes the watermark first, which makes every later renewal of this one fail, and then waits until the length has
/// passed since it first saw the last renewal. That one was sent before it was seen, so the lease is over when it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    length_ms: u64,
    ends_boot_ms: u64,
}

impl Lease {
    /// Granted by a write that was sent at `sent_boot_ms`.
    pub(crate) fn granted(length_ms: u64, sent_boot_ms: u64) -> Self {
        Self { length_ms, ends_boot_ms: sent_boot_ms + length_ms }
    }

    /// Renewed by a write that was sent at `sent_boot_ms`.
    pub(crate) fn renew(&mut self, sent_boot_ms: u64) {
        self.ends_boot_ms = self.ends_boot_ms.max(sent_boot_ms + self.length_ms);
    }

    /// Whether it holds at `boot_ms`.
    pub(crate) fn holds(&self, boot_ms: u64) -> bool {
        boot_ms < self.ends_boot_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_from_when_its_write_was_sent() {
        let mut lease = Lease::granted(1_000, 50);
        assert!(lease.holds(1_049));
        assert!(!lease.holds(1_050));
        lease.renew(600);
        assert!(lease.holds(1_599) && !lease.holds(1_600));
        lease.renew(100);
        assert!(lease.holds(1_599), "an answer that comes late shortens nothing");
    }
}
