//! The connection itself, out of hyper's hands.

use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time,
};

/// A connection, known by its type where that saves memory.
pub(super) enum Stream {
    Tcp(TcpStream),
    /// Anything else that hyper was given, as TLS.
    Other(TokioIo<Upgraded>),
}

/// What a connection has to offer.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for T {}

/// Waits for the end of the HTTP that comes before, and answers with what was read too far. `None`: the connection is gone, or
/// has not taken the answer `within` this time.
pub(super) async fn upgraded(upgrade: OnUpgrade, within: Duration) -> Option<(Stream, Vec<u8>)> {
    let upgraded = time::timeout(within, upgrade).await.ok()?.ok()?;
    // Served by hyper-util's server, which wraps what it is given, by hyper's own, or with another type of connection.
    let upgraded = match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => return Some((Stream::Tcp(parts.io.into_inner()), copied(&parts.read_buf))),
        Err(upgraded) => upgraded,
    };
    Some(match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => (Stream::Tcp(parts.io.into_inner()), copied(&parts.read_buf)),
        Err(upgraded) => (Stream::Other(TokioIo::new(upgraded)), Vec::new()),
    })
}

/// A copy, so that hyper's read buffer is let go.
fn copied(read: &Bytes) -> Vec<u8> {
    read.to_vec()
}
