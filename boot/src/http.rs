//! An HTTP server that drains in bounded time, and gives no connection to those who say nothing.

use std::{future::Future, io, net::SocketAddr, pin::pin, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, server::conn::http1, service::HttpService};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::Shutdown;

/// How long a client may take to send the head of a request; also how long a kept connection may stay silent. Longer
/// than the 5 s that common clients keep an idle one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// The most bytes of a request's head, and of what is read ahead of a body.
const HEAD_BYTES: usize = 64 << 10;
/// How long to wait after a connection could not be accepted: usually no file is left, and one must be closed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` until shutdown is requested, then answers what is in flight and ends, at the drain deadline at the latest.
///
/// Handlers may extract `ConnectInfo<SocketAddr>`: the address of the caller.
///
/// # Errors
/// What the system says about the listener.
pub async fn serve_http(listener: TcpListener, router: Router, shutdown: Shutdown) -> io::Result<()> {
    serve_until(listener, router, |_| {}, shutdown.requested(), shutdown.expired()).await
}

/// As [`serve_http`]: takes connections until `stop`, waits for those that are open until `expired`, and shows each new
/// stream to `accepted` first. Upgrades are served; an upgraded connection is not waited for.
///
/// # Errors
/// What the system says about the listener.
pub async fn serve_until(
    listener: TcpListener,
    router: Router,
    accepted: impl Fn(&TcpStream),
    stop: impl Future<Output = ()>,
    expired: impl Future<Output = ()>,
) -> io::Result<()> {
    serve(HEAD_TIMEOUT, listener, router, accepted, stop, expired).await
}

async fn serve(
    head_timeout: Duration,
    listener: TcpListener,
    router: Router,
    accepted: impl Fn(&TcpStream),
    stop: impl Future<Output = ()>,
    expired: impl Future<Output = ()>,
) -> io::Result<()> {
    // Hyper's own: the one that finds out the version first does not time those who say nothing at all.
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(HEAD_BYTES);
    let (open, leaving) = (TaskTracker::new(), CancellationToken::new());
    let mut stop = pin!(stop);
    loop {
        let (stream, peer) = tokio::select! {
            () = &mut stop => break,
            incoming = listener.accept() => match incoming {
                Ok(incoming) => incoming,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a socket option cannot be set");
        }
        accepted(&stream);
        let service = router.clone().map_request(move |request| with_peer(request, peer));
        let service = TowerToHyperService::new(service);
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        open.spawn(attend(connection, leaving.clone(), peer));
    }
    drop(listener);
    leaving.cancel();
    open.close();
    tokio::select! {
        () = open.wait() => {}
        // A client that keeps its request open does not keep the process.
        () = expired => {}
    }
    Ok(())
}

/// Serves a connection; once the server leaves, only to the end of the request that is under way.
async fn attend<S, B>(
    connection: http1::UpgradeableConnection<TokioIo<TcpStream>, S>,
    leaving: CancellationToken,
    peer: SocketAddr,
) where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    TokioIo<TcpStream>: Send,
    B: hyper::body::Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = leaving.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, %peer, "a connection ended");
    }
}

fn with_peer(request: Request<Incoming>, peer: SocketAddr) -> Request {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn one_who_says_nothing_is_closed_and_one_who_asks_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new()
            .route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()));
        let (trigger, shutdown) = Shutdown::new(Duration::from_secs(5));
        let server = tokio::spawn(async move {
            let head_timeout = Duration::from_millis(200);
            serve(head_timeout, listener, router, |_| {}, shutdown.requested(), shutdown.expired()).await
        });

        let mut asking = TcpStream::connect(address).await.expect("connected");
        asking.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
        let mut answer = String::new();
        asking.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.ends_with("127.0.0.1"), "{answer}");

        for said in ["", "GET / HT"] {
            let mut silent = TcpStream::connect(address).await.expect("connected");
            silent.write_all(said.as_bytes()).await.expect("sent");
            let mut rest = Vec::new();
            let closed = time::timeout(Duration::from_secs(10), silent.read_to_end(&mut rest)).await;
            assert!(closed.is_ok(), "the connection of one who said {said:?} is still open");
        }

        trigger.request();
        server.await.expect("no panic").expect("served");
    }
}
