//! Holds the connections and delivers messages to them, in order.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | [`run`]: the life of a spear |
//! | `settings.rs` | [`Settings`] |
//! | `admission.rs` | who gets in: tickets |
//! | `session.rs` | the life of one connection |
//! | `connection.rs` | what is known about one connection |
//! | `events/` | what clients may ask for, one event a file |
//! | `hub/` | local users and conversations: order, gaps, catching up, sweeps |
//! | `hints.rs` | what arrives over the relay, and the probe of that path |
//! | `cursors.rs` | writes what devices have confirmed |
//! | `context.rs` | what every session needs |
//! | `counters.rs` | what is counted and reported |
//! | `rate.rs` | how many events a second are taken of somebody |
//! | `drain.rs`, `waves.rs` | clients move elsewhere: all, or a part; who is told `migrate` when |

mod admission;
mod connection;
mod context;
mod counters;
mod cursors;
mod drain;
mod events;
mod hints;
mod hub;
mod rate;
mod session;
mod settings;
mod waves;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, Request},
    http::{Method, header::CONTENT_TYPE},
};
use boot::{Cluster, Membership, NodeContext, Shutdown};
use conversation::{Announcer, Conversations};
use relay::Publisher;
use socket::{Peer, SocketService};
use socket2::SockRef;
use token::TokenChecker;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_http::cors::CorsLayer;
use wire::{NodeState, TicketKey, TicketKeys, time::now_ms};

use crate::{
    admission::Admission,
    context::Context,
    counters::{Counters, Holds},
    cursors::CursorWriter,
    hints::Hints,
    hub::Hub,
    session::Sessions,
};

pub use settings::{
    DeliverySettings, DeviceSettings, EventSettings, LiveSettings, Settings, SocketSettings, WatchSettings,
};

/// Between two looks for connections whose token has expired.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);

/// Runs a spear until `shutdown`, then drains it.
///
/// # Errors
/// When it cannot start, or a newer start of the same node has taken its place.
pub async fn run(
    settings: Settings,
    node: NodeContext,
    cluster: Cluster,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let me = node.node_ref();
    let relay_ready = node.readiness.condition("relay", "subscribing");
    let entering = node.readiness.condition("store", "entering");
    let listener = node.listen().await?;
    let enter = || {
        let (store, me) = (cluster.store.clone(), me.clone());
        async move { store.enter(&me).await }
    };
    let Some(()) = boot::persist(&entering, &shutdown.token(), enter).await? else {
        return Ok(());
    };
    entering.ok("entered");

    // Background work goes on while the node drains; it ends with this token.
    let stop = CancellationToken::new();
    let _stop_on_return = stop.clone().drop_guard();
    let counters = Arc::new(Counters::new()?);
    let publisher = Arc::new(Publisher::new(cluster.relay.clone(), me.clone()));
    let to_others = Announcer::remote(me.clone(), publisher.clone());
    let hub =
        Hub::new(me.clone(), cluster.store.clone(), counters.clone(), to_others, settings.socket.heartbeat());
    let announcer = Announcer::with_local(me.clone(), publisher.clone(), hub.clone());
    let ids = rpc::IdClient::spawn(
        cluster.roster.clone(),
        rpc::Secret::new(cluster.secret.expose()),
        stop.clone(),
        rpc::IdOptions {
            holder: cluster.cuts_own_ids().then(|| rpc::Holder { role: node.role, node: me.clone() }),
            labels: node.labels(),
            ..rpc::IdOptions::default()
        },
    );
    cluster.show_lease(&node.readiness);
    let ids_shown = node.readiness.condition("ids", "starting");
    boot::spawn(rpc::show_standing(ids.standing(), move |standing| ids_shown.ok(standing.to_string())));
    let limits = settings.limits.clone();
    let judge = webhook::before_send(&cluster.before_send, &node.labels())?;
    let conversations =
        Conversations::start_judged(cluster.store.clone(), Arc::new(ids.clone()), announcer, limits, judge);
    let cursors = Arc::new(CursorWriter::new(cluster.store.clone()));
    let dev_key = cluster.token_key.as_ref().filter(|_| cluster.embedded);
    let tokens = TokenChecker::new(&cluster.jwt, dev_key)?;
    let keys = TicketKeys::new([TicketKey::new(cluster.ticket_key.kid.clone(), cluster.ticket_key.bytes())]);
    let context = Arc::new(Context {
        hub: hub.clone(),
        conversations,
        cursors: cursors.clone(),
        admission: Admission::new(me, keys, settings.max_connections),
        tokens,
        roster: cluster.roster.watch(),
        max_pending_events: settings.max_pending_events,
        max_pending_bytes: settings.max_pending_bytes,
        rates: settings.events.rates(),
        live: settings.live.clone(),
        watch: settings.watch.clone(),
        watched_messages: Arc::new(settings.watch.rate()),
        register_timeout: Duration::from_millis(settings.delivery.register_timeout_ms),
        takeover_timeout: Duration::from_millis(settings.delivery.takeover_timeout_ms),
        devices: settings.devices.limits(),
    });

    let (orders, asked) = watch::channel(None);
    let hints =
        Hints { hub: hub.clone(), relay: cluster.relay.clone(), publisher, condition: relay_ready, orders };
    boot::spawn(hints.run(stop.clone()));
    let delivery = &settings.delivery;
    boot::spawn(hub::run_sweeps(
        hub.clone(),
        Duration::from_millis(delivery.sweep_interval_ms),
        Duration::from_millis(delivery.suspect_sweep_interval_ms),
        stop.clone(),
    ));
    boot::spawn(hub::run_assertions(
        hub.clone(),
        Duration::from_millis(delivery.suspect_sweep_interval_ms),
        stop.clone(),
    ));
    boot::spawn(hub::run_rooms(hub.clone(), context.conversations.announcer().clone(), stop.clone()));
    let grace = Duration::from_millis(settings.watch.offline_after_ms);
    boot::spawn(hub::run_watches(hub.clone(), cluster.roster.watch(), grace, stop.clone()));
    let cursor_writer = boot::spawn(cursors.run(stop.clone()));
    boot::spawn(count(node.clone(), cluster.clone(), hub.clone(), stop.clone()));
    boot::spawn(expire(hub.clone(), stop.clone()));
    let cors = CorsLayer::new()
        .allow_origin(settings.cors.allow_origin(cluster.embedded)?)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([CONTENT_TYPE]);
    let server =
        boot::spawn(serve(listener, context.clone(), node.clone(), settings.clone(), cors, stop.clone()));

    let record = node.record(NodeState::Up);
    let Some(member) = Membership::join(&node, &cluster.roster, record, &shutdown.token()).await? else {
        return Ok(());
    };
    tracing::info!(url = %node.public_url(), "a spear is up");

    let outcome = tokio::select! {
        () = shutdown.requested() => Ok(()),
        served = server => Err(anyhow::anyhow!("the server has ended: {served:?}")),
        superseded = member.superseded() => superseded,
        () = drain::obey(&context, &node, &member, asked) => Ok(()),
    };
    drain::leave(&context, member, &shutdown).await;
    stop.cancel();
    // What was confirmed in the last second is written before the process ends.
    cursor_writer.await?;
    ids.close().await;
    outcome
}

async fn serve(
    listener: TcpListener,
    context: Arc<Context>,
    node: NodeContext,
    settings: Settings,
    cors: CorsLayer,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let user_timeout = Duration::from_millis(settings.socket.tcp_user_timeout_ms);
    // A peer that vanished without a word keeps nothing longer than this.
    let accepted = move |stream: &TcpStream| {
        if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(user_timeout)) {
            tracing::debug!(%error, "a socket option cannot be set");
        }
    };
    let sessions = SocketService::new(Arc::new(Sessions(context)), settings.layer()).map_request(with_peer);
    let router = axum::Router::new().merge(boot::health_routes(node)).fallback_service(sessions).layer(cors);
    // All connections are closed by then: draining comes first.
    boot::serve_until(listener, router, accepted, stop.cancelled_owned(), std::future::ready(())).await?;
    Ok(())
}

/// Tells the socket.io layer the address of the client, in its own words.
fn with_peer(mut request: Request) -> Request {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() {
        request.extensions_mut().insert(Peer(peer));
    }
    request
}

/// Publishes and reports the counters, once a second.
async fn count(node: NodeContext, cluster: Cluster, hub: Arc<Hub>, stop: CancellationToken) {
    let labels = node.labels();
    let secret = rpc::Secret::new(cluster.secret.expose());
    let reports = rpc::ReportClient::new(cluster.roster.clone(), secret, node.role, node.node_ref());
    let counters = move || {
        let holds = Holds { users: hub.user_count(), groups: hub.group_count(), rooms: hub.room_count() };
        hub.counters.publish(holds, &labels);
        hub.counters.report(holds)
    };
    reports.run(stop, counters).await;
}

/// Closes connections whose token has expired.
async fn expire(hub: Arc<Hub>, stop: CancellationToken) {
    let mut ticks = time::interval(EXPIRY_INTERVAL);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let now = now_ms();
        for connection in hub.connections() {
            if connection.token_expires_at() <= now {
                connection.kick("expired", None);
            }
        }
    }
}
