//! Which of the last numbers of one publisher have arrived.

/// How many numbers back a late one is still told from a repeat: 128 bytes a publisher.
pub(super) const WINDOW: u64 = 1_024;

const WORD_BITS: u64 = 64;
const WORDS: usize = (WINDOW / WORD_BITS) as usize;

/// The highest number that has arrived, and a bit for each of the last [`WINDOW`] numbers: number `n` has bit
/// `n % WINDOW`.
#[derive(Debug, Default)]
pub(super) struct Window {
    last: u64,
    arrived: Bits,
}

#[derive(Debug)]
struct Bits([u64; WORDS]);

impl Default for Bits {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl Bits {
    fn place(number: u64) -> (usize, u64) {
        let bit = number % WINDOW;
        ((bit / WORD_BITS) as usize, 1 << (bit % WORD_BITS))
    }

    fn set(&mut self, number: u64) {
        let (word, mask) = Self::place(number);
        self.0[word] |= mask;
    }

    fn clear(&mut self, number: u64) {
        let (word, mask) = Self::place(number);
        self.0[word] &= !mask;
    }

    fn holds(&self, number: u64) -> bool {
        let (word, mask) = Self::place(number);
        self.0[word] & mask != 0
    }
}

/// What one number is against those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The one after the highest.
    Next,
    /// Beyond the next one: this many before it have not arrived.
    Ahead(u64),
    /// Before the highest, for the first time.
    Late,
    /// There before, or too old to tell, or 0.
    Repeat,
}

impl Window {
    /// Takes note of `number`.
    pub(super) fn arrive(&mut self, number: u64) -> Place {
        if number == 0 {
            return Place::Repeat;
        }
        if number <= self.last {
            if self.last - number >= WINDOW || self.arrived.holds(number) {
                return Place::Repeat;
            }
            self.arrived.set(number);
            return Place::Late;
        }
        let missing = number - self.last - 1;
        if missing >= WINDOW {
            self.arrived = Bits::default();
        } else {
            (self.last + 1..number).for_each(|skipped| self.arrived.clear(skipped));
        }
        self.arrived.set(number);
        self.last = number;
        if missing == 0 { Place::Next } else { Place::Ahead(missing) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_one_is_taken_once_and_only_within_the_window() {
        let mut window = Window::default();
        assert_eq!(window.arrive(1), Place::Next);
        assert_eq!(window.arrive(4), Place::Ahead(2));
        assert_eq!(window.arrive(3), Place::Late);
        assert_eq!(window.arrive(3), Place::Repeat);
        assert_eq!(window.arrive(1), Place::Repeat);
        assert_eq!(window.arrive(WINDOW + 2), Place::Ahead(WINDOW - 3));
        assert_eq!(window.arrive(2), Place::Repeat, "one too old to tell is not taken");
        assert_eq!(window.arrive(5), Place::Late);
    }

    #[test]
    fn what_stood_a_window_ago_is_forgotten() {
        let mut window = Window::default();
        assert_eq!(window.arrive(5), Place::Ahead(4));
        assert_eq!(window.arrive(5 + 3 * WINDOW), Place::Ahead(3 * WINDOW - 1));
        assert_eq!(window.arrive(5 + 2 * WINDOW + 1), Place::Late);
        assert_eq!(window.arrive(5 + 2 * WINDOW), Place::Repeat);
    }

    #[test]
    fn a_late_one_is_no_repeat_of_the_one_a_window_before() {
        let mut window = Window::default();
        (1..=WINDOW + 1).for_each(|number| assert_eq!(window.arrive(number), Place::Next));
        assert_eq!(window.arrive(WINDOW + 4), Place::Ahead(2));
        assert_eq!(window.arrive(WINDOW + 2), Place::Late);
        assert_eq!(window.arrive(WINDOW + 3), Place::Late);
    }

    #[test]
    fn neither_end_of_the_numbers_breaks_it() {
        let mut window = Window::default();
        assert_eq!(window.arrive(0), Place::Repeat);
        assert_eq!(window.arrive(u64::MAX), Place::Ahead(u64::MAX - 1));
        assert_eq!(window.arrive(u64::MAX), Place::Repeat);
        assert_eq!(window.arrive(u64::MAX - 1), Place::Late);
    }
}
