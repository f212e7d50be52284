//! The floor: a server that does nothing but what the works need, to see what the rest costs.
//!
//! It speaks just enough of Engine.IO 4 and Socket.IO 5 over WebSocket. It checks nobody, stores nothing, numbers nothing and sends no
//! heartbeats. What it has in common with a good server: it reads into a buffer of the thread, encodes a message once for all
//! who get it, and writes what is due on a connection at once.
//!
//! | file | what |
//! |---|---|
//! | `main.rs` | the command line, and the door |
//! | `peer.rs` | one connection |
//! | `hub.rs` | who is there, and in which groups |
//! | `twist.rs` | what goes wrong on purpose, for the tests of the load generator |

mod hub;
mod peer;
mod twist;

use std::sync::Arc;

use clap::Parser;
use tokio::net::TcpListener;

use hub::Hub;
use twist::Fault;

/// The bare floor that servers are compared with. Port 0 takes a free one, which is printed.
#[derive(Debug, Parser)]
struct Cli {
    /// Where it listens, on loopback.
    #[arg(long, value_name = "PORT", default_value_t = 20_000)]
    port: u16,
    /// What becomes of every hundredth message, to see whether it is noticed.
    #[arg(long, value_enum)]
    fault: Option<Fault>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Cli { port, fault } = Cli::parse();
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("ready on port {}", listener.local_addr()?.port());
    let hub = Arc::new(Hub::new(fault));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(peer::serve(stream, hub.clone()));
    }
}
