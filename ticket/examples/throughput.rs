//! How many tickets one CPU second gives: token checked, spear chosen, three tickets signed, through all routes and
//! layers, without a socket. One thread. Run it with `cargo run --profile test1 -p ticket --example throughput`.

use std::{fs, net::SocketAddr, time::Instant};

use axum::{body::Body, extract::ConnectInfo, http::Request};
use boot::{Cluster, NodeContext};
use serde_json::{Value, json};
use ticket::{Balance, Limits, Settings, Switch, TicketSettings};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};
use wire::{Incarnation, NodeRecord, NodeState, Role};

const TICKETS: u32 = 100_000;
const SPEARS: u32 = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let cluster = Cluster::for_test(directory.path()).await?;
    let mut spears = Vec::new();
    for number in 1..=SPEARS {
        spears.push(cluster.roster.register(spear(number)).await?);
    }
    let node = NodeContext::for_test(Role::Ticket, "ticket-1");
    for alternates in [0, 2] {
        let mut router = ticket::router(&settings(alternates), &node, &cluster, CancellationToken::new())?
            .into_service::<Body>();
        let dev = router.ready().await?.call(request("/dev/token", "", r#"{"user":"alice"}"#)?).await?;
        let dev: Value = serde_json::from_slice(&axum::body::to_bytes(dev.into_body(), 1 << 20).await?)?;
        let token = dev["token"].as_str().unwrap_or_default().to_owned();
        let body = json!({"device": "phone-1"}).to_string();

        let (wall, cpu) = (Instant::now(), cpu_seconds()?);
        for _ in 0..TICKETS {
            let response = router.ready().await?.call(request("/v1/tickets", &token, &body)?).await?;
            anyhow::ensure!(response.status() == 200, "refused with {}", response.status());
            axum::body::to_bytes(response.into_body(), 1 << 20).await?;
        }
        let cpu = cpu_seconds()? - cpu;
        println!(
            "{SPEARS} spears, {alternates} alternates: {:.0} requests a CPU second ({:.1} s wall)",
            f64::from(TICKETS) / cpu,
            wall.elapsed().as_secs_f64(),
        );
    }
    Ok(())
}

fn request(path: &str, token: &str, body: &str) -> anyhow::Result<Request<Body>> {
    let mut request = Request::post(path)
        .header("host", "127.0.0.1:20000")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::from(body.to_owned()))?;
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 5000))));
    Ok(request)
}

/// User and system time of this process so far, of `/proc/self/stat` (100 ticks a second on Linux).
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

fn settings(alternates: usize) -> Settings {
    Settings {
        token_in_query: Switch::Off,
        tickets: TicketSettings { ttl_ms: 30_000, alternates },
        balance: Balance { bound_percent: 125, min_connections: 100, stale_ms: 5_000 },
        cors: boot::CorsSettings::default(),
        limits: Limits {
            body_bytes: 16_384,
            request_timeout_ms: 5_000,
            address_per_second: 4_000_000,
            address_burst: 4_000_000,
            user_per_second: 4_000_000,
            user_burst: 4_000_000,
            trust_forwarded_for: false,
        },
    }
}

fn spear(number: u32) -> NodeRecord {
    NodeRecord {
        id: format!("spear-{number}").into(),
        role: Role::Spear,
        incarnation: Incarnation(1),
        host: "127.0.0.1".into(),
        port: 1,
        public_url: format!("http://spear-{number}.example:30001"),
        admin_url: String::new(),
        weight: 1,
        state: NodeState::Up,
        version: String::new(),
        started_at: 0,
    }
}
