//! An echo server, for judging the layer from outside: by the official clients, by the official protocol test suites, by hand.
//!
//! It emits `auth` on connecting, answers `message` with `message-back`, acknowledges `message-with-ack` with its own arguments,
//! asks back on `ask`, and sends many events on `many`.

mod reference;

use std::{collections::HashMap, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use parking_lot::Mutex;
use serde_json::json;
use socket::{
    Event, Frame, Gate, Handshake, Inlet, Outlet, Peer, Reason, Refusal, Reply, Settings, SocketService,
};
use tikv_jemallocator::Jemalloc;
use tokio::net::{TcpListener, TcpSocket};
use tower::{Service, ServiceExt as _};

/// Gives back what clients leave behind that did not read; see `tests/socket/stalled_memory.test.mjs`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The most bytes of a request's head.
const MOST_HEADERS: usize = 16 << 10;

/// The most connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// An echo server for Socket.IO clients.
#[derive(Debug, Parser)]
struct Options {
    /// Which layer holds the sessions.
    #[arg(long, value_enum, default_value_t = LayerKind::Own)]
    layer: LayerKind,
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
    /// How many bytes may wait to be sent to one client; by default four times the largest packet.
    #[arg(long)]
    outgoing_bytes: Option<usize>,
    /// How many bytes the system may hold back for a client that does not read (SO_SNDBUF, which Linux doubles); by default what
    /// it chooses, a few MB.
    #[arg(long)]
    send_buffer_bytes: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayerKind {
    /// The one of this crate.
    Own,
    /// engineioxide, for comparison.
    Engineioxide,
}

/// Lets everybody in, and knows why those went who have gone.
#[derive(Default)]
struct Echo {
    goodbyes: Arc<Mutex<HashMap<String, Reason>>>,
}

struct Connection {
    outlet: Arc<dyn Outlet>,
    id: String,
    auth: String,
    goodbyes: Arc<Mutex<HashMap<String, Reason>>>,
}

impl Gate for Echo {
    fn admit(&self, handshake: Handshake<'_>, outlet: Arc<dyn Outlet>) -> Result<Arc<dyn Inlet>, Refusal> {
        let auth = handshake.auth.map_or("{}", |auth| auth.get()).to_owned();
        let (id, goodbyes) = (handshake.id.to_owned(), self.goodbyes.clone());
        Ok(Arc::new(Connection { outlet, id, auth, goodbyes }))
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
            "goodbye-of" => {
                let id = event.args.first().and_then(|id| serde_json::from_str::<String>(id.get()).ok());
                let reason = id.and_then(|id| self.goodbyes.lock().get(&id).copied());
                reply.send(&json!(reason.map(Reason::as_str)).to_string());
            }
            _ => {}
        }
    }

    fn binary_event(self: Arc<Self>, reply: Reply) {
        let refusal =
            json!({"ok": false, "error": {"code": "bad_request", "message": "binary is not taken"}});
        reply.send(&refusal.to_string());
    }

    fn closed(self: Arc<Self>, reason: Reason) {
        self.goodbyes.lock().insert(self.id.clone(), reason);
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
        // Room for what one packet asks for, beside others.
        outgoing_bytes: options.outgoing_bytes.unwrap_or(4 * options.max_payload),
        ..Settings::default()
    };
    let echo = Arc::new(Echo::default());
    match options.layer {
        LayerKind::Own => serve(&options, SocketService::new(echo, settings), true).await,
        LayerKind::Engineioxide => serve(&options, reference::service(echo, &settings), false).await,
    }
}

fn listen(options: &Options) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // As `TcpListener::bind` does: a port of connections that have just ended can be had.
    socket.set_reuseaddr(true)?;
    if let Some(bytes) = options.send_buffer_bytes {
        // Accepted connections inherit it.
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(SocketAddr::from(([127, 0, 0, 1], options.port)))?;
    socket.listen(BACKLOG)
}

async fn serve<S, B>(options: &Options, service: S, own: bool) -> std::io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let yes = |claim| if claim { "yes" } else { "no" };
    let listener = listen(options)?;
    let (own, address) = (yes(own), listener.local_addr()?);
    println!(
        "echo ready: binary=no namespaces=no rejoin=no http=yes strict={own} exact={own} farewell={own} address={address}"
    );
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(options.connect_timeout_ms))
        .max_buf_size(MOST_HEADERS);
    loop {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request
        });
        let service = TowerToHyperService::new(service);
        let connection = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
        tokio::spawn(async move {
            // Why a connection has failed is the client's business.
            drop(connection.await);
        });
    }
}
