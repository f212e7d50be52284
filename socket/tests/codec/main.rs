//! The codec from outside: tables of rules, and properties over random input.
//!
//! | file | what |
//! |---|---|
//! | `frames.rs` | what a client sends: frames in every form, and what comes out of an assembler |
//! | `websocket.rs` | the rules of RFC 6455, case by case |

mod frames;
mod websocket;
