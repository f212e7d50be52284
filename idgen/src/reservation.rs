//! How far ahead of the clock ids may go. Times in milliseconds since the ids' epoch.

/// Until when ids may be served after the next write of the watermark, with `reserve_ms` asked for at a time.
///
/// The clock is followed while it goes forward. While it stands behind (it was set back, or more than 4,096 ids a
/// millisecond are asked for), logical time goes on from what was reserved, yet no faster than real time: `elapsed_ms` of
/// the boot clock since the last write. So a flood cannot use up the epoch.
pub(crate) fn next_until(
    wall_ms: u64,
    untouched_ms: u64,
    until_ms: u64,
    elapsed_ms: u64,
    reserve_ms: u64,
) -> u64 {
    let wanted = wall_ms.max(untouched_ms) + reserve_ms;
    let allowed = (wall_ms + reserve_ms).max(until_ms + elapsed_ms);
    until_ms.max(wanted.min(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_followed() {
        assert_eq!(next_until(1_000, 900, 3_500, 500, 3_000), 4_000);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_ids() {
        // An hour back, everything reserved used up: real time goes on.
        assert_eq!(next_until(0, 3_603_000, 3_603_000, 500, 3_000), 3_603_500);
        // Nothing used up: nothing more is reserved, so the lead shrinks while few ids are cut.
        assert_eq!(next_until(0, 3_600_000, 3_603_000, 500, 3_000), 3_603_000);
    }

    #[test]
    fn a_flood_gains_no_more_than_real_time() {
        let (mut until, mut wall) = (3_000, 0);
        for _ in 0..1_000 {
            wall += 10;
            until = next_until(wall, until, until, 10, 3_000);
        }
        assert_eq!(until, wall + 3_000);
    }
}
