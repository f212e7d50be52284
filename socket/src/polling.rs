//! Long-polling: one request that waits for packets, one at a time that brings some.

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use tokio::time;

use crate::{
    Reason,
    answer::{self, Problem},
    codec::{Revision, payload},
    session::{Batch, Farewell, Polling, Session, Stage},
};

/// Ends a request that has nothing to bring: while the client waits to go over to a WebSocket.
const NOTHING: &str = "6";
const GOODBYE: &str = "1";

/// Answers a handshake.
pub(crate) fn opened(revision: Revision, open: &str) -> Response<Full<Bytes>> {
    let mut packets = String::new();
    payload::encode(revision, std::iter::once(open), &mut packets);
    answer::packets(packets)
}

/// Waits until there is something to be sent, and answers with it.
pub(crate) async fn get(session: &Arc<Session>) -> Response<Full<Bytes>> {
    let begun = session.polling(|polling| !std::mem::replace(&mut polling.get, true));
    match begun {
        Some(true) => {}
        Some(false) => {
            session.end(Reason::Malformed, Farewell::Cut);
            return answer::problem(StatusCode::BAD_REQUEST, Problem::BadRequest);
        }
        None => return answer::problem(StatusCode::BAD_REQUEST, Problem::UnknownSession),
    }
    let mut under_way = UnderWay { session, end: |polling| polling.get = false, cut: true };
    let taken = poll_fn(|cx| session.poll_to_answer(cx)).await;
    under_way.cut = false;
    let mut packets = String::new();
    let (batch, last) = match taken {
        Some((batch, Stage::Open)) if batch.is_empty() => (batch, Some(NOTHING)),
        Some((batch, Stage::Open)) => (batch, None),
        // Whether the server has disconnected it, or the transport was closed, a client tells by what comes first and alone.
        Some((batch, _)) if !batch.is_empty() => (batch, None),
        Some((batch, _)) => (batch, Some(GOODBYE)),
        None if session.ended() == Some(Reason::TransportClosed) => (Batch::new(), Some(NOTHING)),
        None => (Batch::new(), Some(GOODBYE)),
    };
    let texts = batch.iter().filter_map(|frame| frame.text()).chain(last);
    payload::encode(session.revision(), texts, &mut packets);
    if last == Some(GOODBYE) {
        session.end(Reason::ServerClosed, Farewell::Cut);
    }
    answer::packets(packets)
}

/// Takes the packets of a request's body.
pub(crate) async fn post<B>(session: &Arc<Session>, octets: bool, body: B) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let settings = &session.layer().settings;
    match session.polling(|polling| !std::mem::replace(&mut polling.post, true)) {
        Some(true) => {}
        Some(false) => {
            session.end(Reason::Malformed, Farewell::Cut);
            return answer::problem(StatusCode::BAD_REQUEST, Problem::BadRequest);
        }
        None => return answer::problem(StatusCode::BAD_REQUEST, Problem::UnknownSession),
    }
    let mut under_way = UnderWay { session, end: |polling| polling.post = false, cut: true };
    let collected = Limited::new(body, session.max_packet_bytes()).collect();
    // A body that trickles in is no sign of life, and nobody wants it once the session has ended.
    let collected = time::timeout(settings.ping_interval + settings.ping_timeout, collected);
    let collected = tokio::select! {
        collected = collected => collected,
        () = session.over() => return answer::problem(StatusCode::BAD_REQUEST, Problem::UnknownSession),
    };
    let body = match collected {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            session.end(Reason::TooLarge, Farewell::Cut);
            return answer::problem(StatusCode::PAYLOAD_TOO_LARGE, Problem::BadRequest);
        }
        Ok(Err(_)) | Err(_) => {
            session.end(Reason::TransportClosed, Farewell::Cut);
            return answer::problem(StatusCode::BAD_REQUEST, Problem::BadRequest);
        }
    };
    for packet in payload::decode(session.revision(), &body, octets) {
        match packet {
            Ok(packet) => session.packet(packet),
            Err(_) => session.end(Reason::Malformed, Farewell::Cut),
        }
        // The rest of the body, which is no larger than a packet may be, waits until the client has read what waits for it.
        if !session.drained().await {
            break;
        }
    }
    under_way.cut = false;
    let well = session.ended().is_none_or(|reason| reason == Reason::TransportClosed);
    if well { answer::ok() } else { answer::problem(StatusCode::BAD_REQUEST, Problem::BadRequest) }
}

/// A request that is noted in the session for as long as it is under way. One whose client hangs up ends the session: what it was to
/// be given may be lost with it, and who connects again gets that once more.
struct UnderWay<'a> {
    session: &'a Session,
    end: fn(&mut Polling),
    cut: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // The session may have ended, or be carried by a WebSocket: then nobody asks.
        let polling = self.session.polling(self.end).is_some();
        if self.cut && polling {
            self.session.end(Reason::TransportClosed, Farewell::Cut);
        }
    }
}
