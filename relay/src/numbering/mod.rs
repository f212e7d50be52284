//! Numbers on hints, so that repeats are dropped and holes are noticed.
//!
//! | file | what |
//! |---|---|
//! | `publisher.rs` | [`Publisher`]: gives each hint its number per target |
//! | `receiver.rs` | [`Numbering`]: looks at the numbers of what arrives |
//! | `window.rs` | which of the last numbers of one publisher have arrived |

mod publisher;
mod receiver;
mod window;

pub use publisher::Publisher;
pub use receiver::{Arrival, Numbering};
