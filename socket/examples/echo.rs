//! An echo server, for judging the layer from outside: by the official clients, by the official protocol test suites, by hand.
//!
//! It emits `auth` on connecting, answers `message` with `message-back`, acknowledges `message-with-ack` with its own arguments,
//! asks back on `ask`, and sends many events on `many`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo, extract::Request};
use clap::Parser;
use serde_json::json;
use socket::{
    Event, Frame, Gate, Handshake, Inlet, Outlet, Peer, Reason, Refusal, Reply, Settings, SocketService,
};
use tower::{Layer as _, util::MapRequestLayer};

/// An echo server for Socket.IO clients.
#[derive(Debug, Parser)]
struct Options {
    /// Where it listens, on 127.0.0.1; 0 lets the system choose.
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Between two pings.
    #[arg(long, default_value_t = 25_000)]
    ping_interval_ms: u64,
    /// How long a client may take to answer a ping.
    #[arg(long, default_value_t = 20_000)]
    ping_timeout_ms: u64,
    /// How long a client may take to connect to the namespace.
    #[arg(long, default_value_t = 45_000)]
    connect_timeout_ms: u64,
    /// How long a WebSocket may take until a session on long-polling has gone over to it.
    #[arg(long, default_value_t = 10_000)]
    upgrade_timeout_ms: u64,
    /// The largest packet and body of a client, in bytes.
    #[arg(long, default_value_t = 1_000_000)]
    max_payload: usize,
}

struct Echo;

struct Connection {
    outlet: Arc<dyn Outlet>,
    auth: String,
}

impl Gate for Echo {
    fn admit(&self, handshake: Handshake<'_>, outlet: Arc<dyn Outlet>) -> Result<Arc<dyn Inlet>, Refusal> {
        let auth = handshake.auth.map_or("{}", |auth| auth.get()).to_owned();
        Ok(Arc::new(Connection { outlet, auth }))
    }
}

impl Inlet for Connection {
    fn opened(self: Arc<Self>) {
        // The queue of a new connection is empty.
        let _ = self.outlet.send(&Frame::event("auth", &self.auth));
    }

    fn event(self: Arc<Self>, event: Event<'_>, reply: Reply) {
        let args = event.args.iter().map(|arg| arg.get()).collect::<Vec<_>>().join(",");
        let outlet = self.outlet.clone();
        match event.name.as_ref() {
            "message" => send(outlet, vec![Frame::event("message-back", &args)]),
            "message-with-ack" => reply.send(&args),
            "ask" => drop(tokio::spawn(ask(outlet, args))),
            "many" => {
                let count = args.parse::<u32>().unwrap_or(0);
                drop(tokio::spawn(send_all(outlet, count)));
            }
            "leave" => outlet.close(),
            _ => {}
        }
    }

    fn binary_event(self: Arc<Self>, reply: Reply) {
        let refusal =
            json!({"ok": false, "error": {"code": "bad_request", "message": "binary is not taken"}});
        reply.send(&refusal.to_string());
    }

    fn closed(self: Arc<Self>, reason: Reason) {
        tracing::debug!(reason = reason.as_str(), "a connection has ended");
    }
}

fn send(outlet: Arc<dyn Outlet>, frames: Vec<Frame>) {
    for frame in frames {
        if outlet.send(&frame).is_err() {
            return outlet.close();
        }
    }
}

/// Sends as fast as the client reads.
async fn send_all(outlet: Arc<dyn Outlet>, count: u32) {
    for number in 0..count {
        let frame = Frame::event("one", &number.to_string());
        while outlet.send(&frame).is_err() {
            if outlet.writable().await.is_err() {
                return;
            }
        }
    }
}

async fn ask(outlet: Arc<dyn Outlet>, args: String) {
    if let Ok(answer) = outlet.ask("question", &args).await {
        let args = answer.get().trim_start_matches('[').trim_end_matches(']');
        let _ = outlet.send(&Frame::event("answered", args));
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let settings = Settings {
        ping_interval: Duration::from_millis(options.ping_interval_ms),
        ping_timeout: Duration::from_millis(options.ping_timeout_ms),
        connect_timeout: Duration::from_millis(options.connect_timeout_ms),
        upgrade_timeout: Duration::from_millis(options.upgrade_timeout_ms),
        max_packet_bytes: options.max_payload,
        ..Settings::default()
    };
    let service = SocketService::new(Arc::new(Echo), settings);
    let with_peer = MapRequestLayer::new(|mut request: Request| {
        if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() {
            request.extensions_mut().insert(Peer(peer));
        }
        request
    });
    let router = Router::new().fallback_service(with_peer.layer(service));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", options.port)).await?;
    println!("echo ready: binary=no namespaces=no strict=yes address={}", listener.local_addr()?);
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await
}
