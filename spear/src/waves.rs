//! Who is told to move, and when: spread evenly over a time, so that the others are not stormed.

use std::{collections::VecDeque, time::Duration};

use rand::seq::SliceRandom as _;
use tokio::time::Instant;

/// Between two waves.
pub(crate) const TICK: Duration = Duration::from_millis(200);

/// One who was told may stay for this part of the whole time, and for [`LONGEST_STAY`] at most; then it is closed. Who does not
/// know `migrate` so leaves as evenly as the others.
const STAY_SHARE: u32 = 4;
/// See [`STAY_SHARE`].
const LONGEST_STAY: Duration = Duration::from_secs(10);

/// Those who are to move, in the order in which they are told.
pub(crate) struct Waves<T> {
    /// Shuffled: users who belong together do not move together.
    waiting: Vec<T>,
    /// With the time until which they may stay.
    told: VecDeque<(Instant, T)>,
    /// When the last one is told.
    ends: Instant,
    stay: Duration,
    looked: Instant,
    /// How many may be told now; what is less than one is kept for the next wave.
    credit: f64,
}

impl<T: Clone> Waves<T> {
    /// All of `who`, told and gone within `time` from `now`.
    pub(crate) fn new(mut who: Vec<T>, now: Instant, time: Duration) -> Self {
        who.shuffle(&mut rand::rng());
        let stay = (time / STAY_SHARE).min(LONGEST_STAY);
        // The first one is told at once.
        Self {
            waiting: who,
            told: VecDeque::new(),
            ends: now + (time - stay),
            stay,
            looked: now,
            credit: 1.0,
        }
    }

    /// How long each one may stay after it was told.
    pub(crate) fn stay(&self) -> Duration {
        self.stay
    }

    /// How many have not been told yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many have been told, and may still stay.
    pub(crate) fn told(&self) -> usize {
        self.told.len()
    }

    /// Some more are to move.
    pub(crate) fn add(&mut self, who: impl IntoIterator<Item = T>) {
        self.waiting.extend(who);
    }

    /// Those who are told now. What was missed while this process stood still is not made up for at once, but spread over what is
    /// left.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<T> {
        let passed = (now - self.looked).min(2 * TICK);
        let left = self.ends.saturating_duration_since(self.looked).max(TICK);
        self.looked = now;
        self.credit += self.waiting.len() as f64 * passed.as_secs_f64() / left.as_secs_f64();
        let count = (self.credit as usize).min(self.waiting.len());
        // With nobody waiting nothing is saved up.
        self.credit = if self.waiting.len() == count { 0.0 } else { self.credit - count as f64 };
        let now_told = self.waiting.split_off(self.waiting.len() - count);
        self.told.extend(now_told.iter().map(|each| (now + self.stay, each.clone())));
        now_told
    }

    /// Nobody is told now, and all of it takes so much longer.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.ends += now - self.looked;
        self.looked = now;
    }

    /// The rest is told at once, and may stay for `stay`.
    pub(crate) fn hurry(&mut self, now: Instant, stay: Duration) {
        self.stay = self.stay.min(stay);
        self.credit = self.waiting.len() as f64;
        self.ends = now;
        for (until, _) in &mut self.told {
            *until = (*until).min(now + stay);
        }
    }

    /// Those who have stayed too long.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<T> {
        let count = self.told.partition_point(|(until, _)| *until <= now);
        self.told.drain(..count).map(|(_, each)| each).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    /// How many of `who` are told in each wave, until nobody waits.
    fn counts(who: usize, mut step: impl FnMut(usize) -> Duration) -> Vec<usize> {
        let mut now = Instant::now();
        let mut waves = Waves::new((0..who).collect(), now, TIME);
        let mut counts = Vec::new();
        while waves.waiting() > 0 {
            assert!(counts.len() < 1_000, "{counts:?}");
            counts.push(waves.due(now).len());
            now += step(counts.len());
        }
        counts
    }

    #[test]
    fn they_are_told_evenly_and_all_of_them() {
        for who in [1, 7, 100, 12_345] {
            let told = counts(who, |_| TICK);
            assert_eq!(told.iter().sum::<usize>(), who);
            let even = who.div_ceil(75);
            assert!(told.iter().all(|count| *count <= even + 1), "{who}: {told:?}");
            // 15 of the 20 seconds are for telling.
            assert!(told.len() <= 77, "{who}: {told:?}");
            assert!(who < 75 || told.len() >= 74, "{who}: {told:?}");
        }
    }

    #[test]
    fn standing_still_is_not_made_up_for_at_once() {
        let told = counts(1_500, |wave| if wave == 10 { 25 * TICK } else { TICK });
        assert!(told.iter().all(|count| *count <= 2 * 1_500 / 50 + 1), "{told:?}");
    }

    #[test]
    fn who_stays_is_closed_as_evenly() {
        let start = Instant::now();
        let mut waves = Waves::new((0..750).collect(), start, TIME);
        assert_eq!(waves.stay(), Duration::from_secs(5));
        let closed: Vec<usize> = (0..=100)
            .map(|wave| {
                let now = start + wave * TICK;
                let closed = waves.overdue(now).len();
                waves.due(now);
                closed
            })
            .collect();
        assert_eq!(closed.iter().sum::<usize>(), 750);
        assert!(closed[..25].iter().all(|count| *count == 0), "{closed:?}");
        assert!(closed.iter().all(|count| *count <= 12), "{closed:?}");
        assert_eq!(waves.told(), 0);
    }

    #[test]
    fn a_pause_moves_the_end_and_a_hurry_ends_it() {
        let start = Instant::now();
        let mut waves = Waves::new((0..75).collect(), start, TIME);
        waves.pause(start + TIME);
        assert!(waves.due(start + TIME + TICK).len() <= 2, "it goes on where it was");
        waves.hurry(start + TIME + TICK, TICK);
        waves.due(start + TIME + 2 * TICK);
        assert_eq!(waves.waiting(), 0);
        assert_eq!(waves.overdue(start + TIME + 3 * TICK).len(), 75);
    }
}
