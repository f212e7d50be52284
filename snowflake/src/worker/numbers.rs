//! In which order numbers are tried.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use wire::Role;

use crate::layout::{STRICT_WORKER_MAX, WORKER_MAX};

/// The first number that may be taken.
const FIRST: u16 = STRICT_WORKER_MAX + 1;

/// How many there are.
const COUNT: u16 = WORKER_MAX - FIRST + 1;

/// First a node's own number, then all from a random one on, so that nodes that start together seldom meet.
#[derive(Debug)]
pub(super) struct Numbers {
    own: Option<u16>,
    next: u16,
    count: u16,
}

impl Numbers {
    /// A later start of the same node tries the same number first, so that a node that crashes again and again does not
    /// use up one after the other. It is a wish: nothing relies on the hash.
    pub(super) fn of(role: Role, id: &str) -> Self {
        Self::among(COUNT, role, id)
    }

    /// Of the first `count` numbers.
    pub(super) fn among(count: u16, role: Role, id: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (role, id).hash(&mut hasher);
        let own = u16::try_from(hasher.finish() % u64::from(count)).unwrap_or(0);
        Self { own: Some(FIRST + own), next: random(count), count }
    }

    pub(super) fn count(&self) -> u16 {
        self.count
    }

    pub(super) fn next(&mut self) -> u16 {
        if let Some(own) = self.own.take() {
            return own;
        }
        let number = FIRST + self.next;
        self.next = (self.next + 1) % self.count;
        number
    }

    /// Goes on elsewhere: somebody else takes numbers here.
    pub(super) fn jump(&mut self) {
        self.next = random(self.count);
    }
}

fn random(count: u16) -> u16 {
    rand::random_range(0..count)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_round_meets_every_number_but_those_of_idgen() {
        let mut numbers = Numbers::of(Role::Spear, "spear-1");
        let own = numbers.next();
        assert_eq!(own, Numbers::of(Role::Spear, "spear-1").next(), "the same at the next start");
        let round: BTreeSet<u16> = (0..COUNT).map(|_| numbers.next()).collect();
        assert_eq!((round.len(), round.first(), round.last()), (1_008, Some(&16), Some(&1_023)));
        assert!(round.contains(&own));
    }
}
