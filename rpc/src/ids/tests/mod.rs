mod lost;

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use roster::{EmbeddedRoster, Registration};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::DropGuard;
use tonic::{
    Request, Response, Status, Streaming,
    service::interceptor::InterceptedService,
    transport::{Server, server::TcpIncoming},
};
use wire::{
    Incarnation, NodeRecord, NodeState, Role,
    proto::idgen::{
        CutRequest, CutResponse, Run,
        idgen_server::{Idgen, IdgenServer},
    },
};

use super::*;
use crate::secret::guard;

/// A real gRPC server that counts ids up from 1, and answers each request when `permits` has one.
#[derive(Clone)]
struct Counting {
    next: Arc<AtomicU64>,
    streams: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    in_flight: Arc<AtomicUsize>,
    most_in_flight: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
    /// Whether it is the active one.
    active: Arc<AtomicBool>,
    /// Ends each stream after so many answers.
    answers_per_stream: usize,
}

impl Default for Counting {
    fn default() -> Self {
        Self {
            next: Arc::new(AtomicU64::new(1)),
            streams: Arc::default(),
            requests: Arc::default(),
            in_flight: Arc::default(),
            most_in_flight: Arc::default(),
            permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            active: Arc::new(AtomicBool::new(true)),
            answers_per_stream: usize::MAX,
        }
    }
}

#[tonic::async_trait]
impl Idgen for Counting {
    type CutStream = Pin<Box<dyn Stream<Item = Result<CutResponse, Status>> + Send>>;

    async fn cut(
        &self,
        request: Request<Streaming<CutRequest>>,
    ) -> Result<Response<Self::CutStream>, Status> {
        self.streams.fetch_add(1, Ordering::SeqCst);
        let backup = || Status::failed_precondition("it is a backup");
        if !self.active.load(Ordering::SeqCst) {
            return Err(backup());
        }
        let server = self.clone();
        let answers = request.into_inner().take(self.answers_per_stream).then(move |request| {
            let server = server.clone();
            async move {
                server.requests.fetch_add(1, Ordering::SeqCst);
                let now = server.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
                server.most_in_flight.fetch_max(now, Ordering::SeqCst);
                server.permits.acquire().await.map_err(|_| Status::aborted("closed"))?.forget();
                server.in_flight.fetch_sub(1, Ordering::SeqCst);
                if !server.active.load(Ordering::SeqCst) {
                    return Err(backup());
                }
                let count = request?.count;
                let first = server.next.fetch_add(count.into(), Ordering::SeqCst);
                Ok(CutResponse { runs: vec![Run { first, count }] })
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

struct Fixture {
    roster: Arc<EmbeddedRoster>,
    stop: CancellationToken,
    _stop: DropGuard,
    _directory: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let roster = Arc::new(EmbeddedRoster::open(directory.path()).await.expect("a roster"));
        let stop = CancellationToken::new();
        Self { roster, _stop: stop.clone().drop_guard(), stop, _directory: directory }
    }

    fn client(&self, secret: &str, options: IdOptions) -> IdClient {
        IdClient::spawn(self.roster.clone(), Secret::new(secret), self.stop.clone(), options)
    }

    async fn serve(&self, id: &str, service: Counting) -> Box<dyn Registration> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let guarded = InterceptedService::new(IdgenServer::new(service), guard(&Secret::new("right")));
        let server = Server::builder().add_service(guarded).serve_with_incoming(TcpIncoming::from(listener));
        let stop = self.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(server).await });
        self.register(id, port).await
    }

    async fn register(&self, id: &str, port: u16) -> Box<dyn Registration> {
        let record = NodeRecord {
            id: id.into(),
            role: Role::Idgen,
            incarnation: Incarnation(1),
            host: "127.0.0.1".into(),
            port,
            public_url: String::new(),
            admin_url: String::new(),
            weight: 1,
            state: NodeState::Up,
            version: "test".into(),
            started_at: 0,
        };
        self.roster.register(record).await.expect("registered")
    }
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn callers_share_requests_and_get_ids_in_their_order() {
    const CALLERS: usize = 10_000;
    let fixture = Fixture::new().await;
    let server = Counting { permits: Arc::new(Semaphore::new(0)), ..Counting::default() };
    let _node = fixture.serve("a", server.clone()).await;
    let client = fixture
        .client("right", IdOptions { attempt_timeout: Duration::from_secs(5), ..IdOptions::default() });

    // On a runtime of one thread tasks are first polled in the order in which they were spawned.
    let call = |caller| {
        let client = client.clone();
        tokio::spawn(async move { client.take(caller % 3 + 1).await })
    };
    let calls: Vec<_> = (0..CALLERS).map(call).collect();
    eventually("the first request is there", || server.requests.load(Ordering::SeqCst) == 1).await;
    server.permits.add_permits(CALLERS);
    let mut last = MessageId(0);
    for (caller, call) in calls.into_iter().enumerate() {
        let ids = call.await.expect("no panic").expect("ids");
        assert_eq!(ids.len(), caller % 3 + 1);
        assert!(ids.iter().all(|id| std::mem::replace(&mut last, *id) < *id), "caller {caller}: {ids:?}");
    }
    let requests = server.requests.load(Ordering::SeqCst);
    assert!(requests <= 20, "{requests} requests for {CALLERS} callers");
    assert_eq!(server.most_in_flight.load(Ordering::SeqCst), 1, "one in flight");
}

#[tokio::test]
async fn a_broken_stream_and_a_backup_cost_callers_nothing() {
    let fixture = Fixture::new().await;
    let _backup = fixture.serve("a", Counting { active: Arc::default(), ..Counting::default() }).await;
    let _dead = fixture.register("b", 1).await;
    let _active = fixture.serve("c", Counting { answers_per_stream: 3, ..Counting::default() }).await;
    let client = fixture.client("right", IdOptions::default());
    let mut last = MessageId(0);
    for _ in 0..50 {
        let ids = client.take(10).await.expect("ids");
        assert_eq!(ids.len(), 10);
        assert!(ids[0] > last && ids.windows(2).all(|pair| pair[0] < pair[1]));
        last = ids[9];
    }
}

#[tokio::test]
async fn the_ids_of_an_answer_that_came_too_late_are_not_used() {
    let fixture = Fixture::new().await;
    let slow = Counting { permits: Arc::new(Semaphore::new(0)), ..Counting::default() };
    let _slow = fixture.serve("a", slow.clone()).await;
    let options = IdOptions { attempt_timeout: Duration::from_millis(100), ..IdOptions::default() };
    let client = fixture.client("right", options);
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.take(5).await })
    };
    eventually("it was asked again", || slow.requests.load(Ordering::SeqCst) >= 2).await;
    slow.permits.add_permits(1_000);
    let ids = waiting.await.expect("no panic").expect("ids");
    assert_eq!(ids.len(), 5);
    let after = client.take(1).await.expect("ids")[0];
    assert!(after > ids[4]);
}

#[tokio::test]
async fn waiting_is_bounded_in_number_and_in_time() {
    let fixture = Fixture::new().await;
    let options = IdOptions { queue: 4, deadline: Duration::from_millis(300), ..IdOptions::default() };
    let client = fixture.client("right", options);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.take(1).await })
        })
        .collect();
    let (mut busy, mut unavailable) = (0, 0);
    for call in calls {
        match call.await.expect("no panic").expect_err("there is no idgen") {
            IdsError::Busy => busy += 1,
            IdsError::Unavailable { reason, .. } => {
                unavailable += 1;
                assert_eq!(&*reason, "no idgen node is in the roster");
            }
            other => panic!("{other}"),
        }
    }
    assert!(busy > 0 && unavailable >= 4, "{busy} busy, {unavailable} unavailable");

    assert!(matches!(client.take(65_537).await, Err(IdsError::TooMany(65_537))));
    assert!(client.take(0).await.expect("nothing asked").is_empty());
    fixture.stop.cancel();
    eventually("the task has ended", || client.asks.is_closed()).await;
    assert!(matches!(client.take(1).await, Err(IdsError::Stopped)));
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let fixture = Fixture::new().await;
    let _node = fixture.serve("a", Counting::default()).await;
    let options = IdOptions { deadline: Duration::from_secs(3), ..IdOptions::default() };
    let refused = fixture.client("wrong", options.clone()).take(1).await.expect_err("another cluster");
    assert!(refused.to_string().contains("the cluster secret is missing or wrong"), "{refused}");
    assert!(fixture.client("right", options).take(1).await.is_ok());
}
