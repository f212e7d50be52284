//! A server on socketioxide that does what the works need, and nothing else: it checks nobody and stores nothing.
//!
//! Its handler does its work at once and returns a future that is ready: otherwise the messages of one connection would be
//! worked on concurrently, and would lose their order.

use axum::{Router, serve::ListenerExt};
use clap::Parser;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
};
use tokio::net::TcpListener;

/// As small as the library goes without loss of speed: by default it is 8 KiB a connection more.
const READ_BYTES: usize = 512;
/// The packets that wait for one connection. With the default, 128, bursts are dropped.
const QUEUE: usize = 4096;

/// A plain server on socketioxide.
#[derive(Debug, Parser)]
struct Cli {
    /// Where it listens, on loopback.
    #[arg(long, value_name = "PORT", default_value_t = 20_000)]
    port: u16,
}

#[derive(Debug, Deserialize)]
struct Auth {
    user: String,
    #[serde(default)]
    groups: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Send {
    to: To,
    body: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum To {
    User(String),
    Group(String),
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    from: &'a str,
    body: &'a Value,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", Cli::parse().port)).await?;
    let (layer, io) =
        SocketIo::builder().ws_read_buffer_size(READ_BYTES).max_buffer_size(QUEUE).build_layer();
    io.ns("/", connected);
    println!("ready on port {}", listener.local_addr()?.port());
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, Router::new().layer(layer)).await?;
    Ok(())
}

async fn connected(socket: SocketRef, Data(Auth { user, groups }): Data<Auth>) {
    socket.join(format!("u:{user}"));
    for group in groups {
        socket.join(format!("g:{group}"));
    }
    socket.on("send", move |socket: SocketRef, Data(Send { to, body }): Data<Send>, answer: AckSender| {
        let room = match to {
            To::User(name) => format!("u:{name}"),
            To::Group(name) => format!("g:{name}"),
        };
        // Within one process it is done at the first look; a failure is seen as a loss.
        let _ = socket.to(room).emit("message", &Message { from: &user, body: &body }).now_or_never();
        let _ = answer.send(&json!({"ok": true}));
        std::future::ready(())
    });
}
