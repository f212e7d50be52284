//! The token of a user: a JWT that their own back end signed. Ticket checks it at the door, spear when it is refreshed.
//!
//! | file | what |
//! |---|---|
//! | `checker.rs` | [`TokenChecker`]: whether a token is good, and what it says |
//! | `key_files.rs` | the keys of the back ends that sign tokens |

mod checker;
#[cfg(test)]
mod checker_tests;
mod key_files;
#[cfg(test)]
mod key_tests;

pub use checker::{Token, TokenChecker, TokenError, is_reserved};
pub use key_files::TokenKeyError;
