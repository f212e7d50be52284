//! A plain WebSocket echo server on the codec of this crate, without Socket.IO: for suites that judge a WebSocket server, as
//! Autobahn's (`bin/autobahn.sh`).
//!
//! Text is echoed as one frame, a ping is answered, a close is returned with its code. The codec hands bytes up without their
//! content, so a binary message cannot be echoed: it closes the connection with 1003.

use std::{convert::Infallible, io, ops::ControlFlow, time::Duration};

use bytes::Bytes;
use clap::Parser;
use http::{Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use socket::codec::websocket::{Assembler, Control, Message, close, control, text_header};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    time,
};
use tungstenite::handshake::derive_accept_key;

/// As much as the driver of this crate reads at once.
const READ: usize = 16 << 10;
/// How long a client may take to hang up after the last words.
const LINGER: Duration = Duration::from_secs(2);
/// A message of a kind that is not taken.
const UNSUPPORTED: u16 = 1003;

/// An echo server for WebSocket clients.
#[derive(Debug, Parser)]
struct Options {
    /// Where it listens, on 127.0.0.1; 0 lets the system choose.
    #[arg(long, default_value_t = 3001)]
    port: u16,
    /// The largest message of a client, in bytes.
    #[arg(long, default_value_t = 16 << 20)]
    max_message: usize,
}

/// What waits to be written to one client.
#[derive(Debug, Default)]
struct Answers {
    bytes: Vec<u8>,
    /// The last frame is among them.
    closing: bool,
}

impl Answers {
    fn to(&mut self, message: &Message<'_>) -> ControlFlow<()> {
        match message {
            Message::Text(text) => {
                let (head, size) = text_header(text.len());
                self.bytes.extend_from_slice(&head[..size]);
                self.bytes.extend_from_slice(text.as_bytes());
            }
            Message::Binary => self.last(close(UNSUPPORTED, "text only").as_slice()),
            Message::Ping(payload) => {
                self.bytes.extend_from_slice(control(Control::Pong, payload).as_slice())
            }
            Message::Pong => {}
            Message::Close(Some(code)) => self.last(close(*code, "").as_slice()),
            Message::Close(None) => self.last(control(Control::Close, &[]).as_slice()),
        }
        if self.closing { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn last(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.closing = true;
    }
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin, max_message: usize) -> io::Result<()> {
    let (mut inbound, mut buffer) = (Assembler::new(), vec![0; READ]);
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let mut answers = Answers::default();
        let read = &mut buffer[..count];
        if let Err(violation) = inbound.feed(read, max_message, &mut |message| answers.to(&message)) {
            answers.last(close(violation.close_code(), "").as_slice());
        }
        stream.write_all(&answers.bytes).await?;
        if answers.closing {
            break;
        }
    }
    // Who closes first while something unread has arrived would take the last words back.
    stream.shutdown().await?;
    let hung_up = async { while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
    let _ = time::timeout(LINGER, hung_up).await;
    Ok(())
}

fn upgrade(mut request: Request<Incoming>, max_message: usize) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let Some(accept) = key.and_then(|key| derive_accept_key(key.as_bytes()).parse().ok()) else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(&mut request).await {
            // Why a connection has failed is the client's business.
            drop(echo(TokioIo::new(upgraded), max_message).await);
        }
    });
    response
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    println!("websocket echo ready: address={}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service =
            service_fn(
                move |request| async move { Ok::<_, Infallible>(upgrade(request, options.max_message)) },
            );
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
        tokio::spawn(async move { drop(connection.await) });
    }
}
