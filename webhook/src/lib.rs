//! Signed requests to a back end of the users' own.
//!
//! | file | what |
//! |---|---|
//! | `client.rs` | [`Client`]: one request, signed, with a deadline |
//! | `signature.rs` | [`Key`]: Standard Webhooks |
//! | `before_send.rs` | [`before_send`]: asks a back end whether a message may be sent |
//!
//! What is told later, again and again until it is taken, is stat's (`stat/src/webhooks/`).

mod before_send;
mod client;
mod signature;

pub use before_send::{BeforeSend, before_send};
pub use client::{Answer, Client, usable};
pub use signature::Key;
