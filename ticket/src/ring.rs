//! Which spear a user belongs to: a consistent hash ring.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

use hashring::HashRing;
use wire::NodeRecord;

use crate::bound::WEIGHT_MAX;

/// Points on the ring for a weight of 1: with 160 the fullest of 8 nodes holds about 1.1 times its share. The greatest
/// weight has 16,000, some 0.5 MB.
const POINTS_PER_WEIGHT: u32 = 160;

/// The available spears on a circle of hashes. Made of the same snapshot it is the same everywhere, and it never changes: a new
/// snapshot makes a new ring, or one that shares the circle of an older one ([`Ring::renewed`]).
#[derive(Debug)]
pub(crate) struct Ring {
    nodes: Vec<Arc<NodeRecord>>,
    /// With which weights the circle was made; a newer record of a node may have another one.
    weights: Arc<[u32]>,
    /// Those that were left out after the circle had been made.
    gone: Vec<bool>,
    /// Finds the first point at or after a hash.
    points: Arc<HashRing<Point>>,
    /// The node of each point, in the order of the circle. `hashring` finds one point; its walk to the next ones would
    /// copy the whole ring for each request.
    order: Arc<[u32]>,
}

/// One of the places of a node on the circle. Only `id` and `number` are hashed, so `position` can be filled in later.
#[derive(Debug)]
struct Point {
    id: Arc<str>,
    number: u32,
    node: u32,
    position: usize,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Bytes in a fixed order: the same on every machine. 0xff ends the id; it is no byte of a name.
        state.write(self.id.as_bytes());
        state.write_u8(0xff);
        state.write(&self.number.to_le_bytes());
    }
}

/// A user's name, hashed apart from points.
struct Key<'a>(&'a str);

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.as_bytes());
        state.write_u8(0xfe);
    }
}

impl Ring {
    /// The ring of these nodes. Those of weight 0 have no point on it.
    pub(crate) fn new(nodes: Vec<Arc<NodeRecord>>) -> Self {
        // The first ring only sorts; the second knows for each point where it came to lie.
        let sorted: Vec<Point> = ring_of(points(&nodes)).into_iter().collect();
        let order = sorted.iter().map(|point| point.node).collect();
        let placed = sorted.into_iter().enumerate().map(|(position, point)| Point { position, ..point });
        let points = Arc::new(ring_of(placed.collect()));
        let weights = nodes.iter().map(|node| node.weight).collect();
        Self { weights, gone: vec![false; nodes.len()], nodes, points, order }
    }

    /// The same circle with what `available` says of its nodes: newer records, of another start or with another address, and nobody
    /// is sent to those that are missing there. Also answers whether a new circle would be another one: nodes have come or
    /// gone, or have other weights.
    pub(crate) fn renewed(&self, available: &[Arc<NodeRecord>]) -> (Self, bool) {
        let newest: HashMap<&str, &Arc<NodeRecord>> =
            available.iter().map(|record| (&*record.id, record)).collect();
        let found: Vec<_> = self.nodes.iter().map(|node| newest.get(&*node.id).copied()).collect();
        let fits = |(weight, newer): (&u32, &Option<&Arc<NodeRecord>>)| {
            newer.is_some_and(|newer| newer.weight == *weight)
        };
        let same = self.nodes.len() == available.len() && self.weights.iter().zip(&found).all(fits);
        let nodes =
            self.nodes.iter().zip(&found).map(|(node, newer)| newer.unwrap_or(node).clone()).collect();
        let gone = found.iter().map(Option::is_none).collect();
        let (weights, points, order) = (self.weights.clone(), self.points.clone(), self.order.clone());
        (Self { nodes, weights, gone, points, order }, !same)
    }

    /// The nodes on it, also those that have gone.
    pub(crate) fn nodes(&self) -> &[Arc<NodeRecord>] {
        &self.nodes
    }

    /// Which of them have gone, in the same order.
    pub(crate) fn gone(&self) -> &[bool] {
        &self.gone
    }

    /// How many of them have not gone.
    pub(crate) fn available(&self) -> usize {
        self.gone.iter().filter(|gone| !**gone).count()
    }

    /// Adds different nodes to `picked` until it holds `count`, in the order of the circle from the user's place on, only
    /// those whose number among [`Ring::nodes`] `may` be picked.
    pub(crate) fn pick<'a>(
        &'a self,
        user: &str,
        count: usize,
        picked: &mut Vec<&'a Arc<NodeRecord>>,
        may: impl Fn(usize) -> bool,
    ) {
        let may = |index: usize| !self.gone[index] && may(index);
        // Without it, a walk for more than there are would go all the way round.
        let mut missing = count - picked.len().min(count);
        missing = (0..self.nodes.len()).filter(|index| may(*index)).take(missing).count();
        let Some(start) = self.points.get(&Key(user)).filter(|_| missing > 0) else { return };
        let (before, after) = self.order.split_at(start.position);
        for index in after.iter().chain(before).map(|index| *index as usize) {
            let node = &self.nodes[index];
            if may(index) && !picked.iter().any(|other| Arc::ptr_eq(other, node)) {
                picked.push(node);
                missing -= 1;
                if missing == 0 {
                    return;
                }
            }
        }
    }
}

fn points(nodes: &[Arc<NodeRecord>]) -> Vec<Point> {
    let mut points = Vec::new();
    for (node, record) in (0..).zip(nodes) {
        let count = record.weight.min(WEIGHT_MAX) * POINTS_PER_WEIGHT;
        points.extend((0..count).map(|number| Point { id: record.id.clone(), number, node, position: 0 }));
    }
    points
}

fn ring_of(points: Vec<Point>) -> HashRing<Point> {
    let mut ring = HashRing::new();
    ring.batch_add(points);
    ring
}
