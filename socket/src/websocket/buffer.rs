//! Read buffers, borrowed while something is read: a connection needs none of its own while nothing is half-read.

use std::cell::Cell;

/// The most that one look at a socket reads: small enough to stay in a core's cache, large enough for many packets.
const SIZE: usize = 16 << 10;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's buffer.
pub(super) fn with<R>(borrow: impl FnOnce(&mut [u8]) -> R) -> R {
    // Taken out: a borrower that comes back here gets a new one.
    let mut buffer = BUFFER.take();
    if buffer.is_empty() {
        buffer = vec![0; SIZE];
    }
    let result = borrow(&mut buffer);
    BUFFER.set(buffer);
    result
}
