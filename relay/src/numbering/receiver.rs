//! Looks at the numbers of what arrives.

use std::collections::HashMap;

use wire::{Hint, NodeRef};

use super::window::{Place, Window};

/// How many publishers are remembered. A cluster has tens of nodes; each start of one counts, so this covers rolling
/// updates for months at about 200 bytes each.
const PUBLISHERS_MAX: usize = 1_024;

/// What one hint is against those that came before it from the same publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The one that was due: deliver it.
    Next,
    /// New, but `missing` before it have not arrived: deliver it, and compare with the store, for they may be lost.
    Hole {
        /// How many.
        missing: u64,
    },
    /// One that was missing until now: deliver it. Its hole has been reported before.
    Late,
    /// There before, or so old that this cannot be told: drop it.
    Repeat,
    /// For another start of this node: drop it.
    Foreign,
}

impl Arrival {
    /// Whether the hint is to be delivered.
    pub fn is_fresh(self) -> bool {
        matches!(self, Self::Next | Self::Hole { .. } | Self::Late)
    }
}

/// The numbers that have arrived at one start of one node.
///
/// Each hint is fresh at most once, also where it comes late or a publisher's earlier start overlaps with the next
/// one, because each start of each publisher has numbers of its own. Two limits: a hint that is 1,024 or more behind
/// the newest of its publisher is dropped (its hole was reported), and of more than 1,024 starts of publishers the one
/// that was quiet for longest is forgotten: a repeat of its hints would be taken for new.
#[derive(Debug)]
pub struct Numbering {
    me: NodeRef,
    publishers: HashMap<NodeRef, Publisher>,
    /// Counts arrivals: the clock of `last_heard`.
    arrivals: u64,
}

#[derive(Debug, Default)]
struct Publisher {
    window: Window,
    last_heard: u64,
}

impl Numbering {
    /// For what arrives at `me`.
    pub fn new(me: NodeRef) -> Self {
        Self { me, publishers: HashMap::new(), arrivals: 0 }
    }

    /// Takes note of a hint and says what it is.
    ///
    /// The first one heard of a publisher is [`Arrival::Hole`] unless its number is 1.
    pub fn accept(&mut self, hint: &Hint) -> Arrival {
        if hint.target_incarnation != self.me.incarnation {
            return Arrival::Foreign;
        }
        self.arrivals += 1;
        if !self.publishers.contains_key(&hint.publisher) {
            self.forget_if_full();
            self.publishers.insert(hint.publisher.clone(), Publisher::default());
        }
        let Some(publisher) = self.publishers.get_mut(&hint.publisher) else { return Arrival::Repeat };
        publisher.last_heard = self.arrivals;
        match publisher.window.arrive(hint.number) {
            Place::Next => Arrival::Next,
            Place::Ahead(missing) => Arrival::Hole { missing },
            Place::Late => Arrival::Late,
            Place::Repeat => Arrival::Repeat,
        }
    }

    fn forget_if_full(&mut self) {
        if self.publishers.len() < PUBLISHERS_MAX {
            return;
        }
        let quietest = self.publishers.iter().min_by_key(|(_, publisher)| publisher.last_heard);
        if let Some(quietest) = quietest.map(|(node, _)| node.clone()) {
            self.publishers.remove(&quietest);
        }
    }
}
