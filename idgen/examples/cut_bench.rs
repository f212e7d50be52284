//! Ids for each CPU second of the server: one at a time over a kept stream, and in batches.
//!
//! `cargo run --profile test1 -p idgen --example cut_bench [SECONDS]`. The server runs on a thread of its own, whose CPU
//! time is what counts; the client's goes beside it. Many callers of one client are measured too.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use boot::{NodeContext, Shutdown};
use rpc::{Channels, IdClient, IdOptions, Ids, Secret};
use rustix::time::{ClockId, clock_gettime};
use tokio::{runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use wire::{
    Role,
    proto::idgen::{CutRequest, idgen_client::IdgenClient},
};

/// Where the server runs.
struct ServerThread(runtime::Handle);

impl ServerThread {
    fn start() -> anyhow::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        Ok(Self(handle))
    }

    async fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let read = async { clock_gettime(ClockId::ThreadCPUTime) };
        let time = self.0.spawn(read).await?;
        Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
    }

    async fn report(&self, what: &str, run: impl Future<Output = anyhow::Result<u64>>) -> anyhow::Result<()> {
        let (cpu, wall) = (self.cpu_seconds().await?, Instant::now());
        let ids = run.await? as f64;
        let (cpu, wall) = (self.cpu_seconds().await? - cpu, wall.elapsed().as_secs_f64());
        println!("{what}: {:.0} ids per CPU second of the server, {:.0} per second", ids / cpu, ids / wall);
        Ok(())
    }
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let length = Duration::from_secs(seconds);
    let directory = tempfile::tempdir()?;
    let cluster = boot::Cluster::for_test(directory.path()).await?;
    let node = NodeContext::for_test(Role::Idgen, "idgen-1");
    let (_trigger, shutdown) = Shutdown::new(Duration::from_secs(1));
    let settings = idgen::Settings {
        mode: idgen::Mode::Strict,
        worker: 0,
        reserve_ms: 3_000,
        lease_ms: 0,
        faults: idgen::FaultSettings::default(),
    };
    let server = ServerThread::start()?;
    server.0.spawn(idgen::run(settings, node.clone(), cluster.clone(), shutdown));
    node.readiness.ready().await;
    let secret = Secret::new(cluster.secret.expose());
    let options = IdOptions::default();
    let client = IdClient::spawn(cluster.roster.clone(), secret.clone(), CancellationToken::new(), options);
    // The backup that a node is at first serves nothing: the first call waits for the active one.
    client.take(1).await?;

    for (count, in_flight) in [(1, 1), (1, 64), (1, 1_000), (100, 1), (65_536, 1)] {
        let what = format!("one stream, {count} at a time, {in_flight} in flight");
        server.report(&what, stream(&cluster, &secret, count, in_flight, length)).await?;
    }
    for callers in [1, 100, 1_000] {
        let what = format!("{callers} callers of one client, 1 at a time");
        server.report(&what, many(&client, callers, length)).await?;
    }
    Ok(())
}

async fn stream(
    cluster: &boot::Cluster,
    secret: &Secret,
    count: u32,
    in_flight: usize,
    length: Duration,
) -> anyhow::Result<u64> {
    let peers = Channels::new(&*cluster.roster, Role::Idgen, secret).peers(None);
    let peer = peers.into_iter().next().ok_or_else(|| anyhow::anyhow!("idgen is not in the roster"))?;
    let (requests, outgoing) = mpsc::channel(in_flight);
    let answers = IdgenClient::new(peer.channel).cut(ReceiverStream::new(outgoing)).await?;
    let mut answers = answers.into_inner();
    for _ in 0..in_flight {
        requests.send(CutRequest { count }).await?;
    }
    let (mut ids, end) = (0, Instant::now() + length);
    while Instant::now() < end {
        let answer = answers.message().await?.ok_or_else(|| anyhow::anyhow!("the stream has ended"))?;
        ids += answer.runs.iter().map(|run| u64::from(run.count)).sum::<u64>();
        requests.send(CutRequest { count }).await?;
    }
    Ok(ids)
}

async fn many(client: &IdClient, callers: usize, length: Duration) -> anyhow::Result<u64> {
    let end = Instant::now() + length;
    let client = Arc::new(client.clone());
    let call = |_| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut ids = 0;
            while Instant::now() < end {
                ids += client.take(1).await?.len() as u64;
            }
            anyhow::Ok(ids)
        })
    };
    let tasks: Vec<_> = (0..callers).map(call).collect();
    let mut ids = 0;
    for task in tasks {
        ids += task.await??;
    }
    Ok(ids)
}
