//! What a role instance knows about itself.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use axum::Router;
use metrics::Label;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use wire::{Incarnation, NodeRecord, NodeState, Role};

use crate::{
    Condition, ListenError, NodeSettings, Readiness,
    admin::AdminRoutes,
    listener::{self, Patience},
};

/// The version of this binary.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One node: one instance of one role, in this start of the process. Cheap enough to clone.
#[derive(Debug, Clone)]
pub struct NodeContext {
    /// What it does.
    pub role: Role,
    /// Its id, unique within the role: `spear-1`.
    pub id: Arc<str>,
    /// Which start of it.
    pub incarnation: Incarnation,
    /// Its number among the instances of its role in this process, from 0.
    pub instance: u32,
    /// Where it listens, and where other nodes reach it.
    pub host: Arc<str>,
    /// Its share of the work against the others of its role.
    pub weight: u32,
    /// The version of the binary.
    pub version: &'static str,
    /// When the process started, milliseconds since the Unix epoch.
    pub started_at: i64,
    /// How long it may drain.
    pub drain_timeout: Duration,
    /// The conditions behind its `/readyz`. `listening` is there already; [`NodeContext::listen`] fulfils it.
    pub readiness: Readiness,
    listening: Condition,
    port: Arc<AtomicU16>,
    admin_port: Arc<AtomicU16>,
    admin_host: Arc<str>,
    public_url: Arc<str>,
    public_port: u16,
    pub(crate) admin_routes: AdminRoutes,
    /// Cancelled when the node is asked to end: whoever waits for a port stops waiting.
    pub(crate) ending: CancellationToken,
}

impl NodeContext {
    /// A node by its settings.
    pub fn new(
        role: Role,
        instance: u32,
        settings: &NodeSettings,
        incarnation: Incarnation,
        started_at: i64,
    ) -> Self {
        let readiness = Readiness::default();
        let listening = readiness.condition("listening", "starting");
        Self {
            role,
            id: settings.id.as_str().into(),
            incarnation,
            instance,
            host: settings.host.as_str().into(),
            weight: settings.weight,
            version: VERSION,
            started_at,
            drain_timeout: Duration::from_millis(settings.drain_timeout_ms),
            readiness,
            listening,
            port: Arc::new(AtomicU16::new(settings.port)),
            admin_port: Arc::new(AtomicU16::new(settings.admin.port)),
            admin_host: settings.admin.host.as_str().into(),
            public_url: settings.public_url.trim_end_matches('/').into(),
            public_port: settings.http_port.unwrap_or(0),
            admin_routes: AdminRoutes::default(),
            ending: CancellationToken::new(),
        }
    }

    /// A node for tests: on loopback, all ports chosen by the system, two seconds to drain.
    pub fn for_test(role: Role, id: &str) -> Self {
        let now = wire::time::now_ms();
        let incarnation = crate::incarnation::new(now, None);
        Self::new(role, 0, &NodeSettings::on_loopback(id), incarnation, now)
    }

    /// Binds the main port and fulfils the condition `listening`. Call it once.
    ///
    /// Where an outgoing connection holds the port, it waits for its end: 75 s at most, or until the node is asked to end.
    ///
    /// # Errors
    /// [`ListenError`] names the port and, where it can be found, who holds it.
    pub async fn listen(&self) -> Result<TcpListener, ListenError> {
        let listener = self.bind(self.port()).await?;
        if let Ok(address) = listener.local_addr() {
            self.port.store(address.port(), Ordering::Relaxed);
            self.show_listening();
        }
        Ok(listener)
    }

    /// Binds a further port of this node on the same host, after the main one; 0 lets the system choose.
    ///
    /// # Errors
    /// As [`NodeContext::listen`].
    pub async fn listen_at(&self, port: u16) -> Result<TcpListener, ListenError> {
        let listener = self.bind(port).await?;
        self.show_listening();
        Ok(listener)
    }

    /// While it waits, `listening` says for what.
    async fn bind(&self, port: u16) -> Result<TcpListener, ListenError> {
        let waiting = |text: &str| self.listening.waiting(text);
        listener::bind(&self.id, &self.host, port, Patience::USUAL, &self.ending, waiting).await
    }

    fn show_listening(&self) {
        self.listening.ok(format!("{}:{}", self.host, self.port()));
    }

    /// Binds the admin port. What it waits for, only the log can say.
    pub(crate) async fn listen_admin(&self) -> Result<TcpListener, ListenError> {
        let port = self.admin_port.load(Ordering::Relaxed);
        let host = &self.admin_host;
        let listener = listener::bind(&self.id, host, port, Patience::USUAL, &self.ending, |_| {}).await?;
        if let Ok(address) = listener.local_addr() {
            self.admin_port.store(address.port(), Ordering::Relaxed);
        }
        Ok(listener)
    }

    /// The main port: the one that was bound, or the one that is set.
    pub fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    /// What clients are given: the set one, or `http://host:port` (with `http_port` where the role has one).
    pub fn public_url(&self) -> String {
        if !self.public_url.is_empty() {
            return self.public_url.to_string();
        }
        let port = if self.public_port == 0 { self.port() } else { self.public_port };
        http_url(&self.host, port)
    }

    /// The admin port, as `http://host:port`.
    pub fn admin_url(&self) -> String {
        http_url(&self.admin_host, self.admin_port.load(Ordering::Relaxed))
    }

    /// What this node registers. Call it after [`NodeContext::listen`]: it holds the port that was bound.
    pub fn record(&self, state: NodeState) -> NodeRecord {
        NodeRecord {
            id: self.id.clone(),
            role: self.role,
            incarnation: self.incarnation,
            host: self.host.to_string(),
            port: self.port(),
            public_url: self.public_url(),
            admin_url: self.admin_url(),
            weight: self.weight,
            state,
            version: self.version.to_owned(),
            started_at: self.started_at,
        }
    }

    /// This incarnation of this node.
    pub fn node_ref(&self) -> wire::NodeRef {
        wire::NodeRef { id: self.id.clone(), incarnation: self.incarnation }
    }

    /// The labels of this node's metrics, `node` and `role`: `counter!("phalanx_…", node.labels())`.
    pub fn labels(&self) -> Vec<Label> {
        vec![Label::new("node", self.id.to_string()), Label::new("role", self.role.as_str())]
    }

    /// Serves `routes` on the admin port beside `/healthz`, `/readyz` and `/metrics`. Their paths start with `/admin/`;
    /// a later call replaces what an earlier one set.
    pub fn mount_admin(&self, routes: Router) {
        self.admin_routes.set(routes);
    }

    /// The span that marks this node's log lines with `node=ID`.
    pub(crate) fn span(&self) -> tracing::Span {
        tracing::info_span!("node", node = %self.id)
    }
}

/// Starts a task whose log lines carry the span of the caller, and so the node's id.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future.in_current_span())
}

fn http_url(host: &str, port: u16) -> String {
    if host.contains(':') { format!("http://[{host}]:{port}") } else { format!("http://{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_node_registers_the_port_that_it_was_given() {
        let node = NodeContext::for_test(Role::Spear, "spear-1");
        assert!(!node.readiness.is_ready());
        let listener = node.listen().await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        assert!(node.readiness.is_ready());
        let record = node.record(NodeState::Up);
        assert_eq!(record.port, port);
        assert_eq!(record.public_url, format!("http://127.0.0.1:{port}"));
    }

    #[tokio::test]
    async fn while_a_connection_holds_the_port_readiness_says_so() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let client = TcpStream::connect(server.local_addr().expect("bound")).await.expect("connected");
        let node = NodeContext::for_test(Role::Stat, "stat-1");
        let _main = node.listen().await.expect("a free port");
        let further = tokio::spawn({
            let (node, port) = (node.clone(), client.local_addr().expect("connected").port());
            async move { node.listen_at(port).await }
        });
        let waits = node.readiness.changed(|report| !report.ready);
        tokio::time::timeout(Duration::from_secs(20), waits).await.expect("it waits for the port");
        let detail = node.readiness.report().conditions[0].detail.clone();
        assert!(detail.contains("is held by an outgoing connection"), "{detail}");
        client.set_zero_linger().expect("a socket");
        drop(client);
        further.await.expect("no panic").expect("it is free now");
        assert!(node.readiness.is_ready());
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_holder() {
        let node = NodeContext::for_test(Role::Spear, "spear-1");
        let listener = node.listen().await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let refused = node.listen_at(port).await.expect_err("it is taken").to_string();
        assert!(refused.starts_with(&format!("port {port} on 127.0.0.1 is taken by")), "{refused}");
        assert!(refused.contains(&format!("(pid {})", std::process::id())), "{refused}");
    }
}
