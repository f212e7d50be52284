//! Bytes for each further connection.

/// A figure at two sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// At the smaller size: how many, and the figure.
    pub from: (u64, u64),
    /// At the larger size.
    pub to: (u64, u64),
}

impl Slope {
    /// How much the figure grew for each one more; what does not depend on their number cancels out. `None` where the size
    /// did not grow. Negative where the figure fell.
    #[must_use]
    pub fn each(&self) -> Option<f64> {
        let more = self.to.0.checked_sub(self.from.0).filter(|more| *more > 0)?;
        Some((self.to.1 as f64 - self.from.1 as f64) / more as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_anyway_cancels_out() {
        for base in [0, 50_000_000] {
            let slope = Slope { from: (3_000, base + 3_000 * 4_096), to: (9_000, base + 9_000 * 4_096) };
            assert_eq!(slope.each(), Some(4_096.0));
        }
    }

    #[test]
    fn a_falling_figure_has_a_negative_slope() {
        assert_eq!(Slope { from: (0, 100), to: (10, 50) }.each(), Some(-5.0));
    }

    #[test]
    fn one_size_has_no_slope() {
        assert_eq!(Slope { from: (10, 1), to: (10, 2) }.each(), None);
        assert_eq!(Slope { from: (10, 1), to: (9, 2) }.each(), None);
    }
}
