//! What a connection holds, and what a message costs: counted, not timed, so that a regression shows on any machine.
//!
//! The bounds are what was measured, rounded up a little. One that is passed is either a mistake or a decision: then it is written
//! down anew, here and in `docs/performance.md`.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use parking_lot::Mutex;
use socket::{Event, Frame, Gate, Handshake, Inlet, Outlet, Reason, Refusal, Reply, Settings, SocketService};

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

const CONNECTIONS: usize = 400;
/// Bytes of heap of an idle connection on a WebSocket: its task, its socket's place in the runtime, its session.
const BYTES_A_CONNECTION: usize = 1_100;
/// Messages that each connection is sent.
const MESSAGES: usize = 50;
/// Allocations of a message that goes to many, for each who gets it.
const ALLOCATIONS_A_DELIVERY: f64 = 0.1;

#[derive(Default)]
struct Room(Mutex<Vec<Arc<dyn Outlet>>>);

struct Member;

impl Gate for Room {
    fn admit(&self, _: Handshake<'_>, outlet: Arc<dyn Outlet>) -> Result<Arc<dyn Inlet>, Refusal> {
        self.0.lock().push(outlet);
        Ok(Arc::new(Member))
    }
}

impl Inlet for Member {
    fn event(self: Arc<Self>, _: Event<'_>, reply: Reply) {
        reply.send("true");
    }

    fn closed(self: Arc<Self>, _: Reason) {}
}

/// A client that needs no heap.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        let request = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request).expect("written");
        let mut client = Self(stream);
        client.read_past(b"\r\n\r\n");
        client.read_frame(b"0{");
        // `40`, masked with zeros.
        client.0.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'4', b'0']).expect("written");
        client.read_frame(b"40{");
        client
    }

    fn read_past(&mut self, end: &[u8]) {
        let mut seen = [0_u8; 4];
        while seen != end {
            seen.rotate_left(1);
            self.0.read_exact(&mut seen[3..]).expect("a byte");
        }
    }

    /// Reads a frame that is shorter than 64 KiB and begins with `start`.
    fn read_frame(&mut self, start: &[u8]) {
        let mut head = [0_u8; 4];
        self.0.read_exact(&mut head[..2]).expect("a head");
        let mut length = usize::from(head[1]);
        if length == 126 {
            self.0.read_exact(&mut head[2..]).expect("a length");
            length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        }
        let mut payload = [0_u8; 1 << 10];
        self.0.read_exact(&mut payload[..length]).expect("a payload");
        assert!(payload[..length].starts_with(start), "{}", String::from_utf8_lossy(&payload[..length]));
    }
}

/// Clients block: they run beside the runtime, on this thread.
#[test]
fn connections_and_messages_cost_no_more_than_they_did() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let room = Arc::new(Room::default());
    room.0.lock().reserve(2 * CONNECTIONS);
    let service = {
        let _inside = runtime.enter();
        SocketService::new(room.clone(), Settings::default())
    };
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(axum::serve(listener, Router::new().fallback_service(service)).into_future());

    // The first ones pay for what all share.
    let mut clients: Vec<Client> = Vec::with_capacity(2 * CONNECTIONS);
    clients.extend((0..CONNECTIONS).map(|_| Client::connect(address)));
    let before = settled();
    clients.extend((0..CONNECTIONS).map(|_| Client::connect(address)));
    let held = settled().saturating_sub(before) / CONNECTIONS;
    println!("{held} bytes a connection");
    assert!(held <= BYTES_A_CONNECTION, "{held} bytes a connection");

    let before = dhat::HeapStats::get().total_blocks;
    for _ in 0..MESSAGES {
        let frame = Frame::event("message", "{\"body\":\"hello\"}");
        for outlet in room.0.lock().iter() {
            outlet.send(&frame).expect("room");
        }
        for client in &mut clients {
            client.read_frame(b"42[\"message\"");
        }
    }
    let deliveries = MESSAGES * clients.len();
    let each = (dhat::HeapStats::get().total_blocks - before) as f64 / deliveries as f64;
    println!("{each:.3} allocations a delivery");
    assert!(each <= ALLOCATIONS_A_DELIVERY, "{each:.3} allocations a delivery");
}

/// Bytes in use, once the tasks that were busy with handshakes are done.
fn settled() -> usize {
    let mut last = dhat::HeapStats::get().curr_bytes;
    let mut steady = 0;
    while steady < 10 {
        std::thread::sleep(Duration::from_millis(20));
        let now = dhat::HeapStats::get().curr_bytes;
        steady = if now == last { steady + 1 } else { 0 };
        last = now;
    }
    last
}
