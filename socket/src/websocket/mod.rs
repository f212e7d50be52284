//! WebSockets: as the transport from the beginning, or as the one that a polling session goes over to.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | handshakes |
//! | `stream.rs` | the connection itself, out of hyper's hands |
//! | `buffer.rs` | read buffers, borrowed while something is read |
//! | `probe.rs` | the upgrade of a polling session |
//! | `driver.rs` | carries a session: the one task of a connection |

mod buffer;
mod driver;
mod probe;
mod stream;

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use tungstenite::handshake::derive_accept_key;

use self::probe::Probing;
use crate::{
    Frame,
    answer::Problem,
    codec::websocket::Assembler,
    layer::Layer,
    session::{Newcomer, Session},
};

/// A new session on a WebSocket.
pub(crate) fn open<B>(
    layer: Arc<Layer>,
    newcomer: Newcomer,
    request: &mut Request<B>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let (response, upgrade) = accept(request)?;
    tokio::spawn(async move {
        let within = layer.settings.connect_timeout;
        if let Some((stream, mut bytes)) = stream::upgraded(upgrade, within).await {
            let (session, open) = Session::open(&layer, newcomer, true);
            session.say(Frame::packet(&open));
            session.begin();
            driver::spawn(stream, session, Assembler::new(), &mut bytes);
        }
    });
    Ok(response)
}

/// A WebSocket for a session on long-polling.
pub(crate) fn probe<B>(
    session: Arc<Session>,
    request: &mut Request<B>,
) -> Result<Response<Full<Bytes>>, Problem> {
    let (response, upgrade) = accept(request)?;
    // One at a time; the probe itself ends this.
    let begun = session.polling(|polling| !std::mem::replace(&mut polling.probe, true));
    if begun != Some(true) {
        return Err(Problem::BadRequest);
    }
    let probing = Probing::new(session);
    tokio::spawn(async move {
        let within = probing.timeout();
        if let Some((stream, bytes)) = stream::upgraded(upgrade, within).await {
            probing.run(stream, bytes).await;
        }
    });
    Ok(response)
}

/// Of a client's random key.
const NONCE_BYTES: usize = 16;

/// Checks the request as RFC 6455, section 4.2.1, asks.
fn accept<B>(request: &mut Request<B>) -> Result<(Response<Full<Bytes>>, OnUpgrade), Problem> {
    let headers = request.headers();
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(Problem::BadRequest)?;
    let is_key = STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == NONCE_BYTES);
    if !is_key
        || !has(headers, header::UPGRADE, "websocket")
        || !has(headers, header::CONNECTION, "upgrade")
        || !has(headers, header::SEC_WEBSOCKET_VERSION, "13")
    {
        return Err(Problem::BadRequest);
    }
    let accepted =
        HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| Problem::BadRequest)?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or(Problem::BadRequest)?;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    Ok((response, upgrade))
}

/// Whether a header lists a word, in any case.
fn has(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(word))
}
