//! The tower service: which request is for whom.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use crate::{
    Gate, HandshakeRequest, Peer, Settings,
    answer::{self, Problem},
    codec::Revision,
    layer::Layer,
    polling,
    session::{Newcomer, Session, SessionId},
    websocket,
};

/// Answers Socket.IO clients. Cheap to clone; all clones share the sessions.
#[derive(Clone)]
pub struct SocketService(Arc<Layer>);

/// What the query of a request says.
struct Query {
    revision: Result<Revision, Problem>,
    websocket: Result<bool, Problem>,
    sid: Option<Result<SessionId, ()>>,
}

impl SocketService {
    /// A service whose clients are let in by `gate`. To be called within a tokio runtime.
    pub fn new(gate: Arc<dyn Gate>, settings: Settings) -> Self {
        Self(Layer::start(gate, settings))
    }

    async fn answer<B>(layer: Arc<Layer>, mut request: Request<B>) -> Result<Response<Full<Bytes>>, Problem>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let websocket = query.websocket?;
        let revision = query.revision?;
        let session = match query.sid {
            None => None,
            Some(sid) => {
                let session = sid.ok().and_then(|sid| layer.find(&sid)).ok_or(Problem::UnknownSession)?;
                if session.revision() != revision {
                    return Err(Problem::BadRequest);
                }
                Some(session)
            }
        };
        match (session, websocket, request.method()) {
            (None, _, method) if method != Method::GET => Err(Problem::BadHandshakeMethod),
            (None, false, _) => {
                let newcomer = newcomer(&layer, revision, &request)?;
                let (session, open) = Session::open(&layer, newcomer, false);
                session.begin();
                // Alone, as the protocol has it: what follows waits for the first poll.
                Ok(polling::opened(revision, &open))
            }
            (None, true, _) => {
                let newcomer = newcomer(&layer, revision, &request)?;
                websocket::open(layer, newcomer, &mut request)
            }
            (Some(session), true, method) if method == Method::GET => websocket::probe(session, &mut request),
            (Some(session), false, method) if method == Method::GET => Ok(polling::get(&session).await),
            (Some(session), false, method) if method == Method::POST => {
                let octets = request
                    .headers()
                    .get(header::CONTENT_TYPE)
                    .is_some_and(|value| value.as_bytes().starts_with(b"application/octet-stream"));
                Ok(polling::post(&session, octets, request.into_body()).await)
            }
            (Some(_), _, _) => Err(Problem::BadRequest),
        }
    }
}

impl Query {
    fn parse(query: &str) -> Self {
        let mut parsed = Self {
            revision: Err(Problem::UnsupportedRevision),
            websocket: Err(Problem::UnknownTransport),
            sid: None,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match (name.as_ref(), value.as_ref()) {
                ("EIO", "4") => parsed.revision = Ok(Revision::V4),
                ("EIO", "3") => parsed.revision = Ok(Revision::V3),
                ("transport", "polling") => parsed.websocket = Ok(false),
                ("transport", "websocket") => parsed.websocket = Ok(true),
                ("sid", sid) => parsed.sid = Some(sid.parse()),
                // Answers as scripts, for browsers without CORS: not offered.
                ("j", _) => parsed.websocket = Err(Problem::BadRequest),
                _ => {}
            }
        }
        parsed
    }
}

fn newcomer<B>(layer: &Layer, revision: Revision, request: &Request<B>) -> Result<Newcomer, Problem> {
    let request = handshake(revision, request);
    let place = layer.unconnected.enter(request.address()).map_err(|_| Problem::Crowded)?;
    Ok(Newcomer { request, _place: place })
}

/// A copy of what is kept of the first request.
fn handshake<B>(revision: Revision, request: &Request<B>) -> HandshakeRequest {
    // The parts of a request point into the read buffer of its connection, and would keep it.
    let headers = request.headers().iter().filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
    });
    HandshakeRequest {
        revision,
        query: request.uri().query().unwrap_or_default().into(),
        headers: headers.collect::<HeaderMap>(),
        peer: request.extensions().get::<Peer>().map(|Peer(peer): &Peer| -> SocketAddr { *peer }),
    }
}

impl<B> Service<Request<B>> for SocketService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let layer = self.0.clone();
        Box::pin(async move {
            let path = request.uri().path();
            if path != layer.settings.path && path != layer.settings.path.trim_end_matches('/') {
                return Ok(answer::not_found());
            }
            Ok(Self::answer(layer, request).await.unwrap_or_else(|problem| {
                let status = match problem {
                    Problem::Crowded => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::BAD_REQUEST,
                };
                answer::problem(status, problem)
            }))
        })
    }
}

impl std::fmt::Debug for SocketService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SocketService").field(&self.0.settings).finish()
    }
}
