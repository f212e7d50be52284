//! What was lost, repeated or out of order, as one receiver sees it.

use std::{
    collections::BTreeSet,
    ops::{Add, AddAssign},
};

/// What one sender's messages look like where they arrive. The sender counts from 0 without a hole.
#[derive(Debug, Default)]
pub struct Order {
    /// One more than the highest number that came.
    next: u64,
    /// Those below `next` that have not come.
    missing: BTreeSet<u64>,
    last_seq: Option<u64>,
    faults: Faults,
}

/// How often something went wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Sent, and not delivered by the end.
    pub lost: u64,
    /// Delivered more than once.
    pub repeated: u64,
    /// Delivered after a later one.
    pub reordered: u64,
    /// The server's own number was not one more than the last.
    pub seq_jumps: u64,
}

impl Order {
    /// Takes a delivery: the sender's count and, where there is one, the server's number. Answers whether it is the first of it.
    pub fn take(&mut self, number: u64, seq: Option<u64>) -> bool {
        if let Some(seq) = seq {
            if self.last_seq.is_some_and(|last| seq != last + 1) {
                self.faults.seq_jumps += 1;
            }
            self.last_seq = Some(seq);
        }
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
            return true;
        }
        if self.missing.remove(&number) {
            self.faults.reordered += 1;
            return true;
        }
        self.faults.repeated += 1;
        false
    }

    /// The count that would be in order.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.next
    }

    /// What went wrong, given how many were sent.
    #[must_use]
    pub fn faults(&self, sent: u64) -> Faults {
        let lost = self.missing.len() as u64 + sent.saturating_sub(self.next);
        Faults { lost, ..self.faults }
    }
}

impl Faults {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn none(&self) -> bool {
        *self == Self::default()
    }
}

impl Add for Faults {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            repeated: self.repeated + other.repeated,
            reordered: self.reordered + other.reordered,
            seq_jumps: self.seq_jumps + other.seq_jumps,
        }
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a history of the sender's counts.
    fn judge(history: &[u64], sent: u64) -> Faults {
        let mut order = Order::default();
        for number in history {
            order.take(*number, None);
        }
        order.faults(sent)
    }

    fn judge_seqs(history: &[u64]) -> Faults {
        let mut order = Order::default();
        for (number, seq) in history.iter().enumerate() {
            order.take(number as u64, Some(*seq));
        }
        order.faults(history.len() as u64)
    }

    #[test]
    fn a_whole_history_has_no_faults() {
        assert!(judge(&[], 0).none());
        assert!(judge(&[0, 1, 2, 3], 4).none());
        assert!(judge_seqs(&[5, 6, 7]).none());
    }

    #[test]
    fn what_is_lost_is_found_wherever_it_was() {
        for (history, lost) in [(&[1, 2, 3][..], 1), (&[0, 1, 3], 1), (&[0, 1, 2], 1), (&[], 4), (&[3], 3)] {
            assert_eq!(judge(history, 4), Faults { lost, ..Faults::default() }, "{history:?}");
        }
    }

    #[test]
    fn what_is_repeated_is_found() {
        assert_eq!(judge(&[0, 0, 1], 2), Faults { repeated: 1, ..Faults::default() });
        assert_eq!(judge(&[0, 1, 2, 0, 1], 3), Faults { repeated: 2, ..Faults::default() });
        // Late, and then once more.
        assert_eq!(judge(&[1, 0, 0], 2), Faults { reordered: 1, repeated: 1, ..Faults::default() });
    }

    #[test]
    fn what_is_late_is_out_of_order_and_not_lost() {
        assert_eq!(judge(&[1, 0, 2], 3), Faults { reordered: 1, ..Faults::default() });
        assert_eq!(judge(&[3, 2, 1, 0], 4), Faults { reordered: 3, ..Faults::default() });
    }

    #[test]
    fn a_jump_of_the_servers_number_is_found() {
        for history in [&[1, 3][..], &[1, 1], &[2, 1]] {
            assert_eq!(judge_seqs(history), Faults { seq_jumps: 1, ..Faults::default() }, "{history:?}");
        }
    }

    #[test]
    fn a_first_delivery_is_told_from_a_repetition() {
        let mut order = Order::default();
        let first: Vec<bool> = [0, 2, 1, 1, 2].into_iter().map(|number| order.take(number, None)).collect();
        assert_eq!(first, [true, true, true, false, false]);
    }

    #[test]
    fn faults_add_up() {
        let one = Faults { lost: 1, repeated: 2, reordered: 3, seq_jumps: 4 };
        assert_eq!(one + one, Faults { lost: 2, repeated: 4, reordered: 6, seq_jumps: 8 });
    }
}
