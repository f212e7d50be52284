//! A load generator for Socket.IO servers that checks what it is given.
//!
//! It speaks Engine.IO 4 and Socket.IO 5 over WebSocket itself, on one thread and with little memory, so that one process
//! holds as many connections as it may have open files. It depends on no crate of Phalanx: it judges from outside.
//!
//! | file | what |
//! |---|---|
//! | `websocket.rs` | frames, read and written without a standing buffer; the handshake of both sides |
//! | `inbound.rs` | [`inbound::Inbound`]: frames out of a stream of bytes, what is half-read kept apart |
//! | `packet.rs` | the packets of Engine.IO and Socket.IO, as text |
//! | `link.rs` | [`link::Link`]: one connection; what is due on it leaves in one write |
//! | `message.rs` | the message that the works send, and how it comes back |
//! | `door.rs` | tokens, tickets and groups of Phalanx, over HTTP |
//! | `target.rs` | [`target::Target`]: which server, and a [`target::Seat`] on it for a user |
//! | `servers.rs` | the server's processes: their CPU seconds, memory and open files |
//! | `procfs.rs` | what the files of `/proc` say |
//! | `settle.rs` | [`settle::until_settled`]: looks until a figure stands still |
//! | `slope.rs` | [`slope::Slope`]: bytes for each further connection |
//! | `order.rs` | [`order::Order`]: what was lost, repeated or out of order |
//! | `flight.rs` | [`flight::Flight`]: what is under way, and since when it was due |
//! | `schedule.rs` | [`schedule::Schedule`]: when a message is due at a fixed rate |
//! | `latency.rs` | [`latency::Latencies`]: percentiles |
//! | `record.rs` | [`record::Record`]: the figures of one run, for people and as a line of JSON |
//! | `table.rs` | records of several runs as a table with ratios |
//! | `work/` | one work a file: memory, connect, direct, group and room |
//!
//! `peers/` holds the servers to compare with: a plain Socket.IO server on Node.js, the bare floor, socketioxide.

pub mod door;
pub mod flight;
pub mod inbound;
pub mod latency;
pub mod link;
pub mod message;
pub mod order;
pub mod packet;
pub mod procfs;
pub mod record;
pub mod schedule;
pub mod servers;
pub mod settle;
pub mod slope;
pub mod table;
pub mod target;
pub mod websocket;
pub mod work;
