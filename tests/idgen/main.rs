//! idgen as processes of their own on a real ZooKeeper, under callers that ask each of them all the while: killed, frozen, cut
//! off, their clocks set, everything restarted at once. Every answer is recorded, and judged at the end.
//!
//! | file | what |
//! |---|---|
//! | `world.rs` | ZooKeeper, and callers whose every answer is recorded |
//! | `node.rs` | one process: its signals, its wires, its clock |
//! | `history.rs` | what callers saw: is it unique, is it in order |
//! | `strict.rs` | one active, backups |
//! | `multi.rs` | several active |

mod history;
mod multi;
mod node;
mod strict;
mod world;
