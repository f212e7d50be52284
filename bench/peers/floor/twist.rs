//! What goes wrong on purpose, to see whether the load generator notices.

use clap::ValueEnum;
use parking_lot::Mutex;

/// Every so many messages are hit.
const EVERY: u64 = 100;

/// What becomes of a message that is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// It is acknowledged, and handed to nobody.
    Lose,
    /// It is handed out twice.
    Repeat,
    /// It is handed out after the next one.
    Delay,
}

/// Hits messages as they pass; made for one sender.
#[derive(Debug)]
pub(crate) struct Twist {
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    passed: u64,
    held: Option<Vec<u8>>,
}

impl Twist {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, state: Mutex::default() }
    }

    /// What is handed out in place of this frame.
    pub(crate) fn frames(&self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        let mut state = self.state.lock();
        state.passed += 1;
        if !state.passed.is_multiple_of(EVERY) {
            return std::iter::once(frame).chain(state.held.take()).collect();
        }
        match self.fault {
            Fault::Lose => Vec::new(),
            Fault::Repeat => vec![frame.clone(), frame],
            Fault::Delay => {
                state.held = Some(frame);
                Vec::new()
            }
        }
    }
}
