//! An idgen that only counts: ids are unique while it lives, which is all that these tests need.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use boot::{Cluster, NodeContext};
use roster::Registration;
use tokio::task::JoinHandle;
use tokio_stream::{Stream, StreamExt, wrappers::TcpListenerStream};
use tonic::{
    Request, Response, Status, Streaming, service::interceptor::InterceptedService, transport::Server,
};
use wire::{
    NodeState, Role,
    proto::idgen::{
        CutRequest, CutResponse, Run,
        idgen_server::{Idgen, IdgenServer},
    },
};

/// Ends when it is dropped.
pub(crate) struct FakeIdgen {
    task: JoinHandle<()>,
    _registration: Box<dyn Registration>,
}

struct Counter(Arc<AtomicU64>);

impl FakeIdgen {
    /// Starts it and registers it.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        let node = NodeContext::for_test(Role::Idgen, "idgen-1");
        let listener = node.listen().await.expect("a free port");
        let guard = rpc::guard(&rpc::Secret::new(cluster.secret.expose()));
        let service = InterceptedService::new(IdgenServer::new(Counter(Arc::new(AtomicU64::new(1)))), guard);
        let server = Server::builder().add_service(service);
        let task = tokio::spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("it serves");
        });
        let registration =
            cluster.roster.register(node.record(NodeState::Up)).await.expect("a place in the roster");
        Self { task, _registration: registration }
    }
}

impl Drop for FakeIdgen {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tonic::async_trait]
impl Idgen for Counter {
    type CutStream = Pin<Box<dyn Stream<Item = Result<CutResponse, Status>> + Send>>;

    async fn cut(
        &self,
        requests: Request<Streaming<CutRequest>>,
    ) -> Result<Response<Self::CutStream>, Status> {
        let last = self.0.clone();
        let answer = move |request: Result<CutRequest, Status>| {
            let count = request?.count;
            let first = last.fetch_add(count.into(), Ordering::Relaxed);
            Ok(CutResponse { runs: vec![Run { first, count }] })
        };
        Ok(Response::new(Box::pin(requests.into_inner().map(answer))))
    }
}
