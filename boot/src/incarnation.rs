//! Which start of the process this is.

use std::{fs, io, path::Path};

use wire::Incarnation;

use crate::durable_file;

/// The bits below the milliseconds.
const RANDOM_BITS: u32 = 10;

/// A new incarnation at `now_ms`, greater than `previous` even where the clock went back.
pub(crate) fn new(now_ms: i64, previous: Option<Incarnation>) -> Incarnation {
    let earliest = previous.map_or(0, |previous| (previous.0 >> RANDOM_BITS) + 1);
    let time = u64::try_from(now_ms).unwrap_or(0).max(earliest);
    Incarnation((time << RANDOM_BITS) | u64::from(rand::random::<u16>() >> (u16::BITS - RANDOM_BITS)))
}

/// A new incarnation, greater than that of every earlier start that used the same file. It is durable when this returns.
pub(crate) fn next(path: &Path, now_ms: i64) -> io::Result<Incarnation> {
    let previous = match fs::read_to_string(path) {
        Ok(text) => {
            let number = text.trim().parse();
            Some(Incarnation(
                number.map_err(|_| io::Error::other(format!("{} holds no number", path.display())))?,
            ))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let next = new(now_ms, previous);
    durable_file::replace(path, format!("{next}\n").as_bytes())?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_start_has_a_greater_incarnation_even_when_the_clock_went_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut last = Incarnation(0);
        for now in [1_732_150_000_000, 1_732_150_000_000, 1_600_000_000_000, 0] {
            let next = next(&directory.path().join("spear-1"), now).expect("written");
            assert!(next > last, "{next} after {last}");
            assert!(next.0 < 1 << 53, "JSON holds it as a number");
            last = next;
        }
    }
}
