//! What one client can make the server hold, and for how long.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Body, Frame as BodyFrame};
use http_body_util::{BodyExt as _, Full};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use socket::{
    Backlog, Event, Frame, Gate, Handshake, Inlet, Outlet, Reason, Refusal, Reply, Settings, SocketService,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufStream},
    sync::mpsc,
    time,
};
use tower::ServiceExt as _;

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(10);

/// How long the event `hold` makes the server take nothing more.
const HELD: Duration = Duration::from_millis(300);

/// Tells the test who was let in and who has gone; fails on purpose where the query says so.
struct Door(mpsc::UnboundedSender<News>);

enum News {
    Opened(Arc<dyn Outlet>),
    /// The event `taken` has come.
    Taken,
    Closed(Reason),
}

struct Guest {
    outlet: Arc<dyn Outlet>,
    news: mpsc::UnboundedSender<News>,
    fails: bool,
}

impl Gate for Door {
    fn admit(&self, handshake: Handshake<'_>, outlet: Arc<dyn Outlet>) -> Result<Arc<dyn Inlet>, Refusal> {
        assert!(handshake.request.parameter("gate").is_none(), "on purpose");
        let fails = handshake.request.parameter("closed").is_some();
        Ok(Arc::new(Guest { outlet, news: self.0.clone(), fails }))
    }
}

impl Inlet for Guest {
    fn opened(self: Arc<Self>) {
        drop(self.news.send(News::Opened(self.outlet.clone())));
    }

    fn event(self: Arc<Self>, event: Event<'_>, _: Reply) {
        match event.name.as_ref() {
            "hold" => self.outlet.hold(HELD),
            "taken" => drop(self.news.send(News::Taken)),
            _ => {}
        }
    }

    fn closed(self: Arc<Self>, reason: Reason) {
        assert!(!self.fails, "on purpose");
        drop(self.news.send(News::Closed(reason)));
    }
}

fn service(settings: Settings) -> (SocketService, mpsc::UnboundedReceiver<News>) {
    let (sender, news) = mpsc::unbounded_channel();
    (SocketService::new(Arc::new(Door(sender)), settings), news)
}

async fn request<B>(service: &SocketService, method: &str, query: &str, body: B) -> (StatusCode, String)
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let uri = format!("/socket.io/?transport=polling&{query}");
    let request = Request::builder().method(method).uri(uri).body(body).expect("a request");
    let response = service.clone().oneshot(request).await.expect("an answer");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

async fn get(service: &SocketService, query: &str) -> (StatusCode, String) {
    request(service, "GET", query, Full::<Bytes>::default()).await
}

/// Opens a session; answers the query that names it.
async fn open(service: &SocketService, query: &str) -> String {
    let (status, body) = get(service, query).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let sid = body.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a sid");
    let revision = query.split('&').next().expect("a revision");
    format!("{revision}&sid={sid}")
}

async fn opened(news: &mut mpsc::UnboundedReceiver<News>) -> Arc<dyn Outlet> {
    match time::timeout(LONG, news.recv()).await {
        Ok(Some(News::Opened(outlet))) => outlet,
        _ => panic!("nobody was let in"),
    }
}

async fn closed(news: &mut mpsc::UnboundedReceiver<News>) -> Reason {
    match time::timeout(LONG, news.recv()).await {
        Ok(Some(News::Closed(reason))) => reason,
        _ => panic!("nobody has gone"),
    }
}

/// Serves one connection that is no TCP; answers the client's end of it, after the handshake of a WebSocket.
async fn websocket(
    service: SocketService,
    server: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    client: impl AsyncRead + AsyncWrite + Unpin,
) -> BufStream<impl AsyncRead + AsyncWrite + Unpin> {
    let service = TowerToHyperService::new(service);
    let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades();
    tokio::spawn(connection);
    let mut client = BufStream::new(client);
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request.as_bytes()).await.expect("written");
    // `40`, masked with zeros.
    client.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'4', b'0']).await.expect("written");
    client.flush().await.expect("flushed");
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        client.read_line(&mut line).await.expect("a line");
    }
    client
}

/// Reads a frame that is shorter than 126 bytes.
async fn frame(client: &mut (impl AsyncRead + Unpin)) -> String {
    let read = async {
        let mut head = [0; 2];
        client.read_exact(&mut head).await.expect("a head");
        let mut payload = vec![0; head[1].into()];
        client.read_exact(&mut payload).await.expect("a payload");
        String::from_utf8(payload).expect("text")
    };
    time::timeout(LONG, read).await.expect("a frame")
}

#[tokio::test]
async fn who_posts_and_does_not_poll_is_not_answered_without_bound() {
    const PINGS: usize = 100_000;
    let settings = Settings::default();
    // A pong is one letter, and its place in the queue.
    let most = settings.outgoing_bytes / 32 + 1;
    let (service, _news) = service(settings);
    let session = open(&service, "EIO=3").await;
    let post = tokio::spawn({
        let (service, session) = (service.clone(), session.clone());
        async move { request(&service, "POST", &session, Full::from("1:2".repeat(PINGS))).await }
    });
    tokio::task::yield_now().await;
    let mut pongs = 0;
    while pongs < PINGS {
        let (status, body) = time::timeout(LONG, get(&service, &session)).await.expect("packets");
        assert_eq!(status, StatusCode::OK);
        let more = body.matches("1:3").count();
        assert!(more <= most, "{more} pongs waited");
        pongs += more;
    }
    assert_eq!(post.await.expect("no panic").0, StatusCode::OK);
}

#[tokio::test]
async fn who_is_written_to_and_does_not_read_is_closed_in_time() {
    let time = Duration::from_millis(200);
    let (service, mut news) =
        service(Settings { ping_interval: time, ping_timeout: time, ..Settings::default() });
    // Takes all that is written, as the buffers of the system do.
    let (server, client) = tokio::io::duplex(16 << 20);
    let _client = websocket(service, server, client).await;
    let outlet = opened(&mut news).await;
    let writing = async {
        let mut ticks = time::interval(time / 20);
        while outlet.send(&Frame::event("message", "1")).is_ok() {
            ticks.tick().await;
        }
    };
    time::timeout(LONG, writing).await.expect("closed");
    assert_eq!(closed(&mut news).await, Reason::PingTimeout);
}

/// An event without arguments as a frame, masked with zeros.
fn event(name: &str) -> Vec<u8> {
    let text = format!("42[\"{name}\"]");
    let length = u8::try_from(text.len()).expect("a short name");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// On one thread: between two turns of the connection's task the one that counts has its own.
#[tokio::test]
async fn who_sends_much_at_once_does_not_keep_others_waiting() {
    const EVENTS: usize = 1_000;
    let (service, mut news) = service(Settings::default());
    let (server, client) = tokio::io::duplex(1 << 20);
    let mut client = websocket(service, server, client).await;
    opened(&mut news).await;
    client.write_all(&event("taken").repeat(EVENTS)).await.expect("written");
    client.flush().await.expect("flushed");
    let counting = tokio::spawn(async move {
        let (mut all, mut most) = (0, 0);
        while all < EVENTS {
            assert!(matches!(news.recv().await, Some(News::Taken)));
            let mut at_once = 1;
            while let Ok(News::Taken) = news.try_recv() {
                at_once += 1;
            }
            all += at_once;
            most = at_once.max(most);
        }
        most
    });
    let most = time::timeout(LONG, counting).await.expect("all of them").expect("no panic");
    assert!(most <= 64, "{most} in one turn");
}

#[tokio::test]
async fn one_who_is_held_is_heard_later() {
    let (service, mut news) = service(Settings::default());
    let (server, client) = tokio::io::duplex(1 << 20);
    let mut client = websocket(service.clone(), server, client).await;
    opened(&mut news).await;
    let before = time::Instant::now();
    client.write_all(&[event("hold"), event("hold"), event("taken")].concat()).await.expect("written");
    client.flush().await.expect("flushed");
    assert!(matches!(time::timeout(LONG, news.recv()).await, Ok(Some(News::Taken))));
    assert!(before.elapsed() >= HELD);

    let sid = open(&service, "EIO=4").await;
    request(&service, "POST", &sid, Full::from("40")).await;
    opened(&mut news).await;
    let before = time::Instant::now();
    request(&service, "POST", &sid, Full::from("42[\"hold\"]")).await;
    request(&service, "POST", &sid, Full::from("42[\"taken\"]")).await;
    assert!(matches!(time::timeout(LONG, news.recv()).await, Ok(Some(News::Taken))));
    assert!(before.elapsed() >= HELD);
}

#[tokio::test]
async fn what_a_transport_keeps_is_flushed() {
    let (service, mut news) = service(Settings::default());
    let (server, client) = tokio::io::duplex(16 << 10);
    let mut client = websocket(service, BufStream::new(server), client).await;
    assert!(frame(&mut client).await.starts_with("0{"));
    assert!(frame(&mut client).await.starts_with("40{"));
    opened(&mut news).await.send(&Frame::event("message", "1")).expect("room");
    assert_eq!(frame(&mut client).await, "42[\"message\",1]");
}

#[tokio::test]
async fn a_gate_that_panics_keeps_no_place() {
    let (service, _news) = service(Settings { max_unconnected: 1, ..Settings::default() });
    let panics = tokio::spawn({
        let service = service.clone();
        async move { get(&service, "EIO=3&gate=fails").await }
    });
    assert!(panics.await.is_err());
    open(&service, "EIO=3").await;
}

#[tokio::test]
async fn an_end_that_panics_does_not_stop_the_clock() {
    let time = Duration::from_millis(100);
    let (service, mut news) =
        service(Settings { ping_interval: time, ping_timeout: time, ..Settings::default() });
    for query in ["EIO=3&closed=fails", "EIO=3"] {
        open(&service, query).await;
        opened(&mut news).await;
    }
    assert_eq!(closed(&mut news).await, Reason::PingTimeout);
    open(&service, "EIO=3").await;
    opened(&mut news).await;
    assert_eq!(closed(&mut news).await, Reason::PingTimeout);
}

/// A body that never ends.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_body_is_not_waited_for_when_its_session_has_ended() {
    let (service, _news) =
        service(Settings { connect_timeout: Duration::from_millis(100), ..Settings::default() });
    let session = open(&service, "EIO=4").await;
    let post = request(&service, "POST", &session, Endless);
    let (status, _) = time::timeout(LONG, post).await.expect("an answer");
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn there_is_room_only_when_what_was_refused_has_it() {
    let settings = Settings { outgoing_bytes: 10_000, ..Settings::default() };
    let (service, mut news) = service(settings);
    let session = open(&service, "EIO=3").await;
    let outlet = opened(&mut news).await;
    let (small, large) = (Frame::event("a", &"1".repeat(1_000)), Frame::event("a", &"1".repeat(9_500)));
    outlet.send(&small).expect("room");
    assert_eq!(outlet.send(&large), Err(Backlog::Full));
    let mut writable = pin!(outlet.writable());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(writable.as_mut().poll(&mut cx).is_pending());
    get(&service, &session).await;
    assert_eq!(writable.as_mut().poll(&mut cx), Poll::Ready(Ok(())));
    outlet.send(&large).expect("room");
}

#[tokio::test]
async fn who_was_not_let_in_has_little_to_say() {
    let settings = Settings { max_connect_bytes: 1_000, ..Settings::default() };
    let (service, mut news) = service(settings);
    let auth = |bytes| Full::<Bytes>::from(format!("40{{\"auth\":\"{}\"}}", "x".repeat(bytes)));
    let session = open(&service, "EIO=4").await;
    assert_eq!(request(&service, "POST", &session, auth(1_000)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let session = open(&service, "EIO=4").await;
    assert_eq!(request(&service, "POST", &session, auth(900)).await.0, StatusCode::OK);
    opened(&mut news).await;
    let event = Full::from(format!("42[\"message\",\"{}\"]", "x".repeat(100_000)));
    assert_eq!(request(&service, "POST", &session, event).await.0, StatusCode::OK);
}
