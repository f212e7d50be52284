//! gRPC: a kept stream of requests, one answer each.

use std::{pin::Pin, time::Duration};

use futures_util::stream;
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, Streaming,
    service::interceptor::InterceptedService,
    transport::{Server, server::TcpIncoming},
};
use wire::proto::idgen::{
    CutRequest, CutResponse,
    idgen_server::{Idgen, IdgenServer},
};

use crate::cutter::{Cutter, Refusal};

/// The most ids of one request: 16 milliseconds of logical time, an answer of some 200 bytes.
const COUNT_MAX: u32 = 65_536;

/// A request is a few bytes.
const REQUEST_BYTES: usize = 1_024;

/// Streams of one connection: every client keeps one.
const STREAMS_MAX: u32 = 64;

/// A client that vanished without a word is noticed within the sum.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until `stop`, then ends the streams.
pub(crate) async fn serve(
    listener: TcpListener,
    cutter: Cutter,
    secret: &rpc::Secret,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let service =
        IdgenServer::new(Service { cutter, stop: stop.clone() }).max_decoding_message_size(REQUEST_BYTES);
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(InterceptedService::new(service, rpc::guard(secret)))
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop.cancelled_owned(),
        )
        .await
}

struct Service {
    cutter: Cutter,
    stop: CancellationToken,
}

#[tonic::async_trait]
impl Idgen for Service {
    type CutStream = Pin<Box<dyn Stream<Item = Result<CutResponse, Status>> + Send>>;

    async fn cut(
        &self,
        request: Request<Streaming<CutRequest>>,
    ) -> Result<Response<Self::CutStream>, Status> {
        // Said at once, so that a client need not send a request to learn it.
        if let Some(refusal) = self.cutter.closed() {
            return Err(refused(&refusal));
        }
        let conversation = Conversation {
            requests: request.into_inner(),
            cutter: self.cutter.clone(),
            stop: self.stop.clone(),
        };
        let answers = stream::unfold(Some(conversation), async |conversation| {
            let mut conversation = conversation?;
            match conversation.answer().await? {
                Ok(answer) => Some((Ok(answer), Some(conversation))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// One stream.
struct Conversation {
    requests: Streaming<CutRequest>,
    cutter: Cutter,
    stop: CancellationToken,
}

impl Conversation {
    /// The answer to the next request; an error ends the stream, and so does `None`.
    async fn answer(&mut self) -> Option<Result<CutResponse, Status>> {
        let request = tokio::select! {
            biased;
            request = self.requests.message() => request,
            () = self.stop.cancelled() => return Some(Err(refused(&Refusal::NotActive("it stops".into())))),
        };
        match request {
            Ok(Some(request)) => Some(self.cut(request.count).await),
            Ok(None) | Err(_) => None,
        }
    }

    async fn cut(&self, count: u32) -> Result<CutResponse, Status> {
        if !(1..=COUNT_MAX).contains(&count) {
            return Err(Status::invalid_argument(format!("count is {count}: expected 1 to {COUNT_MAX}")));
        }
        let cut = self.cutter.cut(count).await;
        cut.map(|runs| CutResponse { runs }).map_err(|refusal| refused(&refusal))
    }
}

fn refused(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::NotActive(_) | Refusal::Lapsed | Refusal::NoNumber(_) | Refusal::Lost => {
            Status::failed_precondition(refusal.to_string())
        }
        Refusal::Exhausted => Status::resource_exhausted(refusal.to_string()),
    }
}
