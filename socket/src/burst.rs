//! Sending much at once: connections are woken when all of it is queued, so that each writes it together.

use std::{cell::RefCell, task::Waker};

/// The most connections that wait to be woken; those that came before are woken then.
const MOST: usize = 8192;

thread_local! {
    /// Whom to wake at the end; `None` outside of a burst.
    static WAITING: RefCell<Option<Vec<Waker>>> = const { RefCell::new(None) };
}

/// Runs `work`, and wakes the connections that it sends to only when it is done.
///
/// A burst within another one ends with that. Several events for the same connections then leave in one write each. Without it every connection is woken by the first of
/// them, and another thread may write it before the next one is queued.
pub fn burst<R>(work: impl FnOnce() -> R) -> R {
    let outer = WAITING.with_borrow_mut(|waiting| waiting.replace(Vec::new()));
    // Also when `work` panics: who is not woken would wait for ever.
    let _end = End { outer };
    work()
}

struct End {
    /// Of a burst around this one.
    outer: Option<Vec<Waker>>,
}

impl Drop for End {
    fn drop(&mut self) {
        let waiting = WAITING.with_borrow_mut(|waiting| std::mem::replace(waiting, self.outer.take()));
        waiting.into_iter().flatten().for_each(wake);
    }
}

/// Wakes now, or at the end of the burst.
pub(crate) fn wake(waker: Waker) {
    let (now, waiting) = WAITING.with_borrow_mut(|waiting| match waiting {
        None => (Some(waker), Vec::new()),
        Some(waiting) => {
            waiting.push(waker);
            (None, if waiting.len() < MOST { Vec::new() } else { std::mem::take(waiting) })
        }
    });
    // Outside of the borrow: whoever is woken may send.
    now.into_iter().chain(waiting).for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn those_who_are_sent_to_are_woken_at_the_end() {
        let woken = Arc::new(Woken::default());
        let count = || woken.0.load(Ordering::Relaxed);
        wake(woken.clone().into());
        assert_eq!(count(), 1);
        burst(|| {
            wake(woken.clone().into());
            burst(|| wake(woken.clone().into()));
            assert_eq!(count(), 1, "a burst within another one ends with that");
        });
        assert_eq!(count(), 3);
    }

    #[test]
    fn a_burst_of_very_many_wakes_some_before() {
        let woken = Arc::new(Woken::default());
        burst(|| {
            (0..=MOST).for_each(|_| wake(woken.clone().into()));
            assert_eq!(woken.0.load(Ordering::Relaxed), MOST);
        });
        assert_eq!(woken.0.load(Ordering::Relaxed), MOST + 1);
    }

    #[test]
    fn a_panic_wakes_them_too() {
        let woken = Arc::new(Woken::default());
        let waker: Waker = woken.clone().into();
        let outcome = std::panic::catch_unwind(|| {
            burst(|| {
                wake(waker);
                panic!("on purpose");
            })
        });
        assert!(outcome.is_err());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }
}
