//! How full the store is, and which share of it has to go.

use store::Space;

/// Where the profile names no bound: this part of the server's own limit.
const OF_LIMIT: f64 = 0.8;
/// Trimming begins at this part of the bound, and ends at the lower one, so that it is not at work with every message.
const BEGINS: f64 = 0.95;
const ENDS: f64 = 0.9;
/// From here on it may be reached soon.
const NEAR: f64 = 0.7;

/// The fullest place of the store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pressure {
    /// Bytes in use there.
    pub(super) used: u64,
    /// How many there may be.
    pub(super) bound: u64,
}

/// The bound of a place: the one that is set, but never more than what it could take.
fn bound(space: &Space, set: u64) -> Option<u64> {
    let own = space.limit.map(|limit| (limit as f64 * OF_LIMIT) as u64);
    let set = (set > 0).then_some(set);
    set.into_iter().chain(own).min()
}

impl Pressure {
    /// Of the fullest place; `None` where nothing is bounded.
    pub(super) fn of(spaces: &[Space], set: u64) -> Option<Self> {
        let bounded = spaces.iter().filter_map(|space| {
            let bound = bound(space, set)?.max(1);
            Some(Self { used: space.used, bound })
        });
        bounded.max_by(|one, other| one.filled().total_cmp(&other.filled()))
    }

    /// 1 where the bound is reached.
    pub(super) fn filled(self) -> f64 {
        self.used as f64 / self.bound as f64
    }

    /// Whether there may be no room soon.
    pub(super) fn is_near(self) -> bool {
        self.filled() > NEAR
    }

    /// The share of what is in use that has to go, 0 to 1; `None` while there is room. `pressed`: whether there was none before.
    pub(super) fn share(self, pressed: bool) -> Option<f64> {
        let limit = if pressed { ENDS } else { BEGINS };
        (self.filled() > limit).then(|| 1.0 - ENDS / self.filled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(used: u64, limit: Option<u64>) -> Space {
        Space { used, limit }
    }

    #[test]
    fn the_bound_is_what_is_set_and_within_what_the_server_takes() {
        let of = |limit, set| Pressure::of(&[space(10, limit)], set).map(|pressure| pressure.bound);
        assert_eq!(of(None, 0), None);
        assert_eq!(of(None, 500), Some(500));
        assert_eq!(of(Some(1_000), 0), Some(800));
        assert_eq!(of(Some(1_000), 500), Some(500));
        assert_eq!(of(Some(1_000), 5_000), Some(800));
    }

    #[test]
    fn the_fullest_server_decides() {
        let spaces = [space(90, Some(1_000)), space(80, Some(100)), space(700, None)];
        assert_eq!(Pressure::of(&spaces, 0), Some(Pressure { used: 80, bound: 80 }));
    }

    #[test]
    fn it_begins_near_the_bound_and_ends_well_below() {
        let share = |used, pressed| Pressure { used, bound: 1_000 }.share(pressed);
        assert_eq!(share(940, false), None);
        assert!(share(940, true).is_some());
        assert_eq!(share(900, true), None);
        let most = share(1_800, false).expect("it is too full");
        assert!((most - 0.5).abs() < 1e-9, "{most}");
    }
}
