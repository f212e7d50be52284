//! An HTTP server that drains in bounded time.

use std::{future::IntoFuture, io, net::SocketAddr};

use axum::Router;
use tokio::net::TcpListener;

use crate::Shutdown;

/// Serves `router` until shutdown is requested, then answers what is in flight and ends, at the drain deadline at the latest.
///
/// Handlers may extract `ConnectInfo<SocketAddr>`: the address of the caller.
///
/// # Errors
/// What the system says about the listener.
pub async fn serve_http(listener: TcpListener, router: Router, shutdown: Shutdown) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let draining = shutdown.clone();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(async move { draining.requested().await });
    tokio::select! {
        served = server.into_future() => served,
        // A client that keeps its request open does not keep the process.
        () = shutdown.expired() => Ok(()),
    }
}
