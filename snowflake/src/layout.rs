//! What the bits of an id mean: 41 of milliseconds since 2024-01-01, 10 of worker, 12 of sequence; the top bit is 0.

use wire::MessageId;

/// 2024-01-01T00:00:00Z, in milliseconds since the Unix epoch.
pub const EPOCH_AT: i64 = 1_704_067_200_000;

/// The bits of the time.
pub const TIME_BITS: u32 = 41;
/// The bits of the worker number.
pub const WORKER_BITS: u32 = 10;
/// The bits of the number within a millisecond.
pub const SEQUENCE_BITS: u32 = 12;

/// The greatest worker number.
pub const WORKER_MAX: u16 = (1 << WORKER_BITS) - 1;

/// The worker numbers of the strict idgen, 0 to this one: a setting names one of them for the whole cluster, so nobody else may
/// take them. The others are taken through [`crate::WorkerLease`].
pub const STRICT_WORKER_MAX: u16 = 15;

/// Ids of one worker in one millisecond.
pub const IDS_PER_MS: u64 = 1 << SEQUENCE_BITS;

/// The first millisecond since [`EPOCH_AT`] that an id cannot hold: 69.7 years, in 2093.
pub const END_MS: u64 = 1 << TIME_BITS;

/// Five years of 365.25 days: who starts this close to the end would meet it in service.
const MARGIN_MS: u64 = 5 * 365_250 * 24 * 3_600;

/// The clock shows a time that ids cannot hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// Before the ids' epoch.
    #[error("the clock shows a time before 2024-01-01 ({0} ms since 1970): set the clock")]
    TooEarly(i64),
    /// Too near to their end.
    #[error(
        "the clock shows a time within 5 years of the end of the ids' 41 bits in 2093 ({0} ms since 1970): set the clock, or move to a newer layout"
    )]
    TooLate(i64),
}

/// Whether ids can be cut from a clock that shows `wall_ms` since the Unix epoch.
///
/// # Errors
/// [`ClockError`]: somebody must set the clock.
pub fn check_clock(wall_ms: i64) -> Result<(), ClockError> {
    if wall_ms < EPOCH_AT {
        return Err(ClockError::TooEarly(wall_ms));
    }
    check_floor(since_epoch(wall_ms)).map_err(|_| ClockError::TooLate(wall_ms))
}

/// What ids make of a clock that shows `wall_ms` since the Unix epoch: milliseconds since the ids' epoch, or 0 where
/// [`check_clock`] refuses it. A clock that goes wrong in service is so not followed: what it reserved could never be taken back.
pub fn followed_ms(wall_ms: i64) -> u64 {
    check_clock(wall_ms).map_or(0, |()| since_epoch(wall_ms))
}

/// Whether ids that begin at `floor_ms`, since the ids' epoch, have time enough before their end.
///
/// # Errors
/// [`ClockError::TooLate`].
pub fn check_floor(floor_ms: u64) -> Result<(), ClockError> {
    if floor_ms >= END_MS - MARGIN_MS {
        return Err(ClockError::TooLate(to_unix(floor_ms)));
    }
    Ok(())
}

/// Milliseconds since the ids' epoch; 0 for a clock before it.
pub fn since_epoch(wall_ms: i64) -> u64 {
    u64::try_from(wall_ms.saturating_sub(EPOCH_AT)).unwrap_or(0)
}

/// The same moment in milliseconds since the Unix epoch.
pub fn to_unix(since_epoch_ms: u64) -> i64 {
    i64::try_from(since_epoch_ms).unwrap_or(i64::MAX).saturating_add(EPOCH_AT)
}

/// The time of an id, in milliseconds since the ids' epoch.
pub fn time_ms(id: MessageId) -> u64 {
    id.0 >> (WORKER_BITS + SEQUENCE_BITS)
}

/// Puts an id together. `time_ms` is below [`END_MS`], `sequence` below [`IDS_PER_MS`].
pub fn compose(time_ms: u64, worker: u16, sequence: u64) -> MessageId {
    debug_assert!(time_ms < END_MS && worker <= WORKER_MAX && sequence < IDS_PER_MS);
    MessageId(time_ms << (WORKER_BITS + SEQUENCE_BITS) | u64::from(worker) << SEQUENCE_BITS | sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_fill_63_bits() {
        assert_eq!(TIME_BITS + WORKER_BITS + SEQUENCE_BITS, 63);
        assert_eq!(compose(END_MS - 1, WORKER_MAX, IDS_PER_MS - 1), MessageId(i64::MAX as u64));
        assert_eq!(compose(1, 0, 0), MessageId(1 << 22));
        assert_eq!(compose(0, 1, 0), MessageId(1 << 12));
        assert_eq!(time_ms(compose(77, WORKER_MAX, IDS_PER_MS - 1)), 77);
    }

    #[test]
    fn a_clock_outside_the_layout_is_refused() {
        let end = to_unix(END_MS);
        let five_years = i64::try_from(MARGIN_MS).expect("small");
        assert_eq!(check_clock(EPOCH_AT), Ok(()));
        assert_eq!(check_clock(0), Err(ClockError::TooEarly(0)));
        assert_eq!(check_clock(end - five_years - 1), Ok(()));
        assert_eq!(check_clock(end - five_years), Err(ClockError::TooLate(end - five_years)));
        assert_eq!(check_clock(i64::MAX), Err(ClockError::TooLate(i64::MAX)));
    }

    proptest::proptest! {
        #[test]
        fn a_clock_is_followed_where_it_is_accepted_and_only_there(wall_ms: i64) {
            let accepted = check_clock(wall_ms).is_ok();
            let inside = wall_ms >= EPOCH_AT && wall_ms < to_unix(END_MS - MARGIN_MS);
            proptest::prop_assert_eq!(accepted, inside);
            proptest::prop_assert_eq!(followed_ms(wall_ms), if accepted { since_epoch(wall_ms) } else { 0 });
        }
    }
}
