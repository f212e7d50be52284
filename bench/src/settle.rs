//! Looks until a figure stands still.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// So many looks in a row must agree: two seconds.
const LOOKS: usize = 8;
/// For how long a figure may go on changing.
const LONGEST: Duration = Duration::from_secs(45);

/// The last looks at a figure.
#[derive(Debug)]
pub struct Stillness {
    tolerance: u64,
    looks: VecDeque<u64>,
}

impl Stillness {
    /// The figure may differ by so much and still be called still.
    #[must_use]
    pub fn new(tolerance: u64) -> Self {
        Self { tolerance, looks: VecDeque::new() }
    }

    /// Takes a look; answers whether the figure stands still.
    pub fn look(&mut self, figure: u64) -> bool {
        self.looks.push_back(figure);
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        let (min, max) = (self.looks.iter().min(), self.looks.iter().max());
        let (Some(min), Some(max)) = (min, max) else { return false };
        self.looks.len() == LOOKS && max - min <= self.tolerance
    }
}

/// Looks at a figure until it stands still within `tolerance`, or for as long as one waits. Answers whether it does.
///
/// # Errors
/// The figure cannot be read.
pub async fn until_settled(
    tolerance: u64,
    mut figure: impl FnMut() -> anyhow::Result<u64>,
) -> anyhow::Result<bool> {
    let mut stillness = Stillness::new(tolerance);
    let began = Instant::now();
    while !stillness.look(figure()?) {
        if began.elapsed() > LONGEST {
            return Ok(false);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settles_after(figures: impl IntoIterator<Item = u64>) -> Option<usize> {
        let mut stillness = Stillness::new(10);
        figures.into_iter().position(|figure| stillness.look(figure)).map(|place| place + 1)
    }

    #[test]
    fn a_figure_must_stand_still_for_several_looks() {
        assert_eq!(settles_after([5; LOOKS]), Some(LOOKS));
        assert_eq!(settles_after([5; LOOKS - 1]), None);
        assert_eq!(settles_after((0..LOOKS as u64).map(|look| look * 100)), None);
    }

    #[test]
    fn a_slow_change_is_a_change() {
        assert_eq!(settles_after((0..100).map(|look| look * 2)), None);
        assert_eq!(
            settles_after((0..100).map(|look| if look < 3 { 1_000 } else { look % 2 })),
            Some(3 + LOOKS)
        );
    }
}
