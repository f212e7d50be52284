//! What one sender has under way.

use std::{collections::VecDeque, time::Instant};

/// The messages that were sent and have not arrived, by the sender's count.
#[derive(Debug, Default)]
pub struct Flight {
    /// The count of the first one in `due`.
    base: u64,
    due: VecDeque<Option<Instant>>,
    open: usize,
}

impl Flight {
    /// Takes the next message; answers its count. `due` is when it should have left, which is not later than now.
    pub fn start(&mut self, due: Instant) -> u64 {
        self.due.push_back(Some(due));
        self.open += 1;
        self.sent() - 1
    }

    /// A message has arrived for the first time: answers when it was due. `None` where it was not under way.
    pub fn land(&mut self, number: u64) -> Option<Instant> {
        let place = usize::try_from(number.checked_sub(self.base)?).ok()?;
        let due = self.due.get_mut(place)?.take()?;
        self.open -= 1;
        while let Some(None) = self.due.front() {
            self.due.pop_front();
            self.base += 1;
        }
        Some(due)
    }

    /// How many were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.base + self.due.len() as u64
    }

    /// How many have not arrived.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn messages_land_in_any_order_and_once() {
        let mut flight = Flight::default();
        let start = Instant::now();
        let due: Vec<Instant> = (0..4).map(|ms| start + Duration::from_millis(ms)).collect();
        for (number, due) in due.iter().enumerate() {
            assert_eq!(flight.start(*due), number as u64);
        }
        assert_eq!(flight.land(1), Some(due[1]));
        assert_eq!(flight.land(1), None, "it has landed");
        assert_eq!(flight.land(0), Some(due[0]));
        assert_eq!(flight.land(0), None, "it is forgotten");
        assert_eq!(flight.land(4), None, "it was not sent");
        assert_eq!((flight.sent(), flight.open()), (4, 2));
        assert_eq!(flight.land(3), Some(due[3]));
        assert_eq!(flight.land(2), Some(due[2]));
        assert_eq!((flight.sent(), flight.open(), flight.due.len()), (4, 0, 0));
    }
}
