//! The codec from outside: tables of rules, and properties over random input.
//!
//! | file | what |
//! |---|---|
//! | `frames.rs` | what a client sends: frames in every form, and what comes out of an assembler |
//! | `websocket.rs` | the rules of RFC 6455, case by case |
//! | `splits.rs` | any split of a stream gives the same messages |
//! | `socketio.rs` | payloads and packets: written and read back, random bytes |

mod frames;
mod socketio;
mod splits;
mod websocket;
