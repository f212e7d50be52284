//! Trims what is old, too much of a conversation, or too much for the store: done by one stat node at a time.
//!
//! | file | what |
//! |---|---|
//! | `trimmer.rs` | [`Trimmer`]: is elected, and makes pass after pass |
//! | `pressure.rs` | how full the store is, and which share of it has to go |
//! | `ages.rs` | how old what is kept is: which age to cut at for a share of it |
//! | `stored.rs` | [`Stored`]: what the last pass found, for reports and metrics |

mod ages;
mod pressure;
mod stored;
mod trimmer;

pub(crate) use stored::{Findings, Stored};
pub(crate) use trimmer::Trimmer;
