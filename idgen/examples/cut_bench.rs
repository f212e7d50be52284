//! Ids for each CPU second of one process: one at a time over a kept stream, and in batches.
//!
//! `cargo run --profile test1 -p idgen --example cut_bench [SECONDS]`. Server and client share the process, so the
//! server alone does better than what is printed. Many callers of one client are measured too.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use boot::{NodeContext, Shutdown};
use rpc::{Channels, IdClient, IdOptions, Ids, Secret};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use wire::{
    Role,
    proto::idgen::{CutRequest, idgen_client::IdgenClient},
};

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let length = Duration::from_secs(seconds);
    let directory = tempfile::tempdir()?;
    let cluster = boot::Cluster::for_test(directory.path()).await?;
    let node = NodeContext::for_test(Role::Idgen, "idgen-1");
    let (_trigger, shutdown) = Shutdown::new(Duration::from_secs(1));
    let settings = idgen::Settings { worker: 0, reserve_ms: 3_000, lease_ms: 0 };
    tokio::spawn(idgen::run(settings, node.clone(), cluster.clone(), shutdown));
    node.readiness.ready().await;
    let secret = Secret::new(cluster.secret.expose());
    let client = IdClient::spawn(
        cluster.roster.clone(),
        secret.clone(),
        CancellationToken::new(),
        IdOptions::default(),
    );
    // The backup that a node is at first serves nothing: the first call waits for the active one.
    client.take(1).await?;

    for count in [1, 100, 65_536] {
        let run = stream(&cluster, &secret, count, length);
        report(&format!("one stream, {count} at a time"), run).await?;
    }
    for callers in [1, 100, 1_000] {
        report(&format!("{callers} callers of one client, 1 at a time"), many(&client, callers, length))
            .await?;
    }
    Ok(())
}

async fn report(what: &str, run: impl Future<Output = anyhow::Result<u64>>) -> anyhow::Result<()> {
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    let ids = run.await? as f64;
    let (cpu, wall) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
    println!("{what}: {:.0} ids per CPU second, {:.0} per second", ids / cpu, ids / wall);
    Ok(())
}

async fn stream(
    cluster: &boot::Cluster,
    secret: &Secret,
    count: u32,
    length: Duration,
) -> anyhow::Result<u64> {
    let peers = Channels::new(&*cluster.roster, Role::Idgen, secret).peers(None);
    let peer = peers.into_iter().next().ok_or_else(|| anyhow::anyhow!("idgen is not in the roster"))?;
    let (requests, outgoing) = mpsc::channel(1);
    let answers = IdgenClient::new(peer.channel).cut(ReceiverStream::new(outgoing)).await?;
    let mut answers = answers.into_inner();
    let (mut ids, end) = (0, Instant::now() + length);
    while Instant::now() < end {
        requests.send(CutRequest { count }).await?;
        let answer = answers.message().await?.ok_or_else(|| anyhow::anyhow!("the stream has ended"))?;
        ids += answer.runs.iter().map(|run| u64::from(run.count)).sum::<u64>();
    }
    Ok(ids)
}

async fn many(client: &IdClient, callers: usize, length: Duration) -> anyhow::Result<u64> {
    let end = Instant::now() + length;
    let client = Arc::new(client.clone());
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut ids = 0;
                while Instant::now() < end {
                    ids += client.take(1).await?.len() as u64;
                }
                anyhow::Ok(ids)
            })
        })
        .collect();
    let mut ids = 0;
    for task in tasks {
        ids += task.await??;
    }
    Ok(ids)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
