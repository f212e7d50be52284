//! Socket.IO sessions over HTTP and WebSocket: Engine.IO 3 and 4, Socket.IO 4 and 5.
//!
//! | file | what |
//! |---|---|
//! | `codec/` | the bytes of the three protocols, without I/O |

pub mod codec;
