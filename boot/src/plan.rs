//! Which nodes this process runs, and their life from start to exit.

use std::{
    collections::HashMap,
    ffi::OsString,
    future::Future,
    num::NonZeroU32,
    path::Path,
    pin::Pin,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde::de::DeserializeOwned;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{AbortHandle, JoinError, JoinSet},
};
use tracing::Instrument;
use wire::Role;

use crate::{
    Cluster, ListenError, NodeContext, NodeSettings, SettingsError, Shutdown, ShutdownTrigger, Tree, admin,
    http, logs, metric,
    supervisor::{Kept, Stage},
};

/// Ends a process by signal: 128 and the number of SIGTERM, as shells count.
const EXIT_AT_ONCE: i32 = 128 + 15;

/// What a process is given beyond its drain time before it is killed: for starting to drain, and for leaving.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// How long the last hints may take to be published.
const FLUSH: Duration = Duration::from_secs(2);

/// How much of the drain time is left to idgen and stat: the spears need them to the end of their own.
const LAST_SHARE: u32 = 10;

type Run = Box<
    dyn FnOnce(NodeContext, Cluster, Shutdown) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>,
>;

/// The settings of a role, beyond the keys that every role has.
pub trait RoleSettings: DeserializeOwned + Send + 'static {
    /// Checks what the types cannot; `embedded` says whether every role runs in this process.
    ///
    /// # Errors
    /// Names the key and what was expected.
    fn check(&self, embedded: bool) -> anyhow::Result<()>;
}

/// The nodes that a process is to run. Making one checks their settings; nothing starts before [`Plan::run`].
pub struct Plan {
    tree: Tree,
    /// Only this instance of a role, from 0.
    only: Option<u32>,
    nodes: Vec<Planned>,
}

struct Planned {
    role: Role,
    instance: u32,
    settings: NodeSettings,
    run: Run,
}

impl Plan {
    /// An empty one, for every instance of the roles that are added; or for only one, counted from 1 as ids are.
    ///
    /// # Errors
    /// A secret is missing that every process of a cluster must be given.
    pub fn new(tree: Tree, only: Option<NonZeroU32>) -> Result<Self, SettingsError> {
        tree.check_secrets()?;
        Ok(Self { tree, only: only.map(|number| number.get() - 1), nodes: Vec::new() })
    }

    /// Adds the instances of `role`, each with settings of its own.
    ///
    /// # Errors
    /// The settings of the role cannot be used; a port or an id is given twice; or there is no such instance.
    pub fn add<S, F, R>(&mut self, role: Role, run: F) -> anyhow::Result<()>
    where
        S: RoleSettings,
        F: Fn(S, NodeContext, Cluster, Shutdown) -> R + Clone + Send + 'static,
        R: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let instances = self.tree.instances(role)?;
        let chosen = match self.only {
            None => 0..instances,
            Some(only) if only < instances => only..only + 1,
            Some(only) => anyhow::bail!(
                "there is no instance {} of {role}: {role}.instances is {instances} in the profile {}",
                only + 1,
                self.tree.profile()
            ),
        };
        for instance in chosen {
            let settings = self.tree.node(role, instance)?;
            let own: S = self.tree.role(role, instance)?;
            own.check(self.tree.shared().cluster.embedded).map_err(|error| self.tree.placed(&error))?;
            let run = run.clone();
            let run: Run =
                Box::new(move |node, cluster, shutdown| Box::pin(run(own, node, cluster, shutdown)));
            self.check_distinct(role, &settings)?;
            self.nodes.push(Planned { role, instance, settings, run });
        }
        Ok(())
    }

    /// The nodes for people and scripts: role, id, public URL and admin URL, separated by tabs, one node a line.
    pub fn to_lines(&self) -> String {
        let line = |planned: &Planned| {
            let node = planned.context(wire::Incarnation(0), 0);
            format!("{}\t{}\t{}\t{}\n", node.role, node.id, node.public_url(), node.admin_url())
        };
        self.nodes.iter().map(line).collect()
    }

    /// What a supervisor keeps running: each node as a process of its own, by `program` with the arguments `common` beside its
    /// role and instance.
    pub fn to_kept(&self, program: &Path, common: &[OsString]) -> Vec<Kept> {
        let kept = |planned: &Planned| {
            let number = (planned.instance + 1).to_string();
            let mut command: Vec<OsString> =
                vec![program.into(), planned.role.as_str().into(), "--instance".into(), number.into()];
            command.extend_from_slice(common);
            Kept {
                name: planned.settings.id.clone(),
                stage: if is_behind(planned.role) { Stage::Behind } else { Stage::Doors },
                command,
                stop_timeout: Duration::from_millis(planned.settings.drain_timeout_ms) + STOP_MARGIN,
            }
        };
        self.nodes.iter().map(kept).collect()
    }

    /// The settings behind it.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Starts all nodes, waits for SIGTERM or SIGINT, and drains. A second signal ends the process at once.
    ///
    /// # Errors
    /// The first node that fails, or ends without being asked to, ends all others.
    pub async fn run(self) -> anyhow::Result<()> {
        let shared = self.tree.shared();
        anyhow::ensure!(
            !self.is_empty(),
            "the profile {} has no instance of any of these roles",
            self.tree.profile()
        );
        logs::install(&shared.log)?;
        metric::install()?;
        let mut signals = Signals::install()?;

        let started_at = wire::time::now_ms();
        let named = &self.nodes[0].settings.id;
        let (cluster, incarnation) = Cluster::open(shared, named, started_at).await?;
        tracing::info!(profile = self.tree.profile(), nodes = self.len(), %incarnation, version = crate::node::VERSION, "starting");

        let mut running = Running::default();
        let life = async {
            for planned in self.nodes {
                let node = planned.context(incarnation, started_at);
                if let Err(error) = running.start(node, planned.run, &cluster).await {
                    return error;
                }
            }
            running.first_end().await
        };
        let failed = tokio::select! {
            ended = life => Some(ended),
            name = signals.next() => {
                tracing::info!(signal = name, "draining");
                None
            }
            () = upkeep() => None,
        };
        tokio::select! {
            () = async {
                running.drain().await;
                // The last that was said: its receivers find it in the store, but later.
                let _ = tokio::time::timeout(FLUSH, cluster.relay.flush()).await;
            } => {}
            _ = signals.next() => {
                tracing::warn!("asked twice: ending at once");
                std::process::exit(EXIT_AT_ONCE);
            }
        }
        match failed {
            Some(error) => Err(error),
            None => {
                tracing::info!("stopped");
                Ok(())
            }
        }
    }

    fn check_distinct(&self, role: Role, settings: &NodeSettings) -> anyhow::Result<()> {
        let ports = |of: &NodeSettings| {
            [Some(of.port), of.http_port, Some(of.admin.port)].into_iter().flatten().collect::<Vec<_>>()
        };
        let mut taken: HashMap<u16, String> = HashMap::new();
        for other in &self.nodes {
            // Also across roles: the relay knows publishers by their id.
            anyhow::ensure!(
                other.settings.id != settings.id,
                "{role}.id: {} is the id of a {} too",
                settings.id,
                other.role
            );
            taken.extend(ports(&other.settings).into_iter().map(|port| (port, other.settings.id.clone())));
        }
        for port in ports(settings).into_iter().filter(|port| *port != 0) {
            if let Some(other) = taken.insert(port, settings.id.clone()) {
                anyhow::bail!(
                    "port {port} is set for {other} and for {}: set another one in [{role}]",
                    settings.id
                );
            }
        }
        Ok(())
    }
}

impl Planned {
    fn context(&self, incarnation: wire::Incarnation, started_at: i64) -> NodeContext {
        NodeContext::new(self.role, self.instance, &self.settings, incarnation, started_at)
    }
}

/// The nodes that run.
#[derive(Default)]
struct Running {
    tasks: JoinSet<(NodeContext, anyhow::Result<()>)>,
    nodes: Vec<RunningNode>,
    admins: JoinSet<()>,
}

struct RunningNode {
    context: NodeContext,
    trigger: ShutdownTrigger,
    task: AbortHandle,
}

/// idgen and stat end last: the others need them while they drain.
fn is_behind(role: Role) -> bool {
    matches!(role, Role::Idgen | Role::Stat)
}

impl Running {
    async fn start(&mut self, node: NodeContext, run: Run, cluster: &Cluster) -> anyhow::Result<()> {
        let listener = node.listen_admin().await?;
        let router = admin::router(node.clone());
        // The admin port answers until the process ends: it shows how draining goes.
        let (_, never) = Shutdown::new(Duration::ZERO);
        self.admins.spawn(async move {
            if let Err(error) = http::serve_http(listener, router, never).await {
                tracing::error!(%error, "the admin port ended");
            }
        });
        let (trigger, shutdown) = Shutdown::new(node.drain_timeout);
        let future = run(node.clone(), cluster.clone(), shutdown);
        let span = node.span();
        let ending = node.clone();
        let task = self.tasks.spawn(async move { (ending, future.await) }.instrument(span));
        self.nodes.push(RunningNode { context: node, trigger, task });
        Ok(())
    }

    /// Waits for a node to end, which none may do by itself.
    async fn first_end(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(ended) => {
                failure(ended).unwrap_or_else(|| anyhow::anyhow!("a node ended without being asked to"))
            }
            None => anyhow::anyhow!("there are no nodes"),
        }
    }

    /// Asks all nodes to end, those that clients hold on to first, and waits until they have or their time is up.
    async fn drain(&mut self) {
        let longest = self.nodes.iter().map(|node| node.context.drain_timeout).max().unwrap_or_default();
        let deadline = Instant::now() + longest;
        for node in &self.nodes {
            node.context.readiness.condition("draining", "asked to end");
            node.context.ending.cancel();
        }
        self.request(|node| !is_behind(node.context.role));
        let turn = deadline - longest / LAST_SHARE;
        // Looked up anew each time: a node that failed, and so began the drain, has ended already.
        while self.nodes.iter().any(|node| !is_behind(node.context.role) && !node.task.is_finished()) {
            let Ok(Some(ended)) = tokio::time::timeout_at(turn.into(), self.tasks.join_next()).await else {
                break;
            };
            report(ended);
        }
        self.request(|node| is_behind(node.context.role));
        while let Ok(Some(ended)) = tokio::time::timeout_at(deadline.into(), self.tasks.join_next()).await {
            report(ended);
        }
        if !self.tasks.is_empty() {
            tracing::warn!(
                nodes = self.tasks.len(),
                ?longest,
                "the drain time is over: what is left is cut off"
            );
        }
    }

    fn request(&self, which: impl Fn(&RunningNode) -> bool) {
        for node in self.nodes.iter().filter(|node| which(node)) {
            node.trigger.request();
        }
    }
}

fn failure(ended: Result<(NodeContext, anyhow::Result<()>), JoinError>) -> Option<anyhow::Error> {
    match ended {
        Ok((_, Ok(()))) => None,
        Ok((_, Err(error))) if matches!(error.downcast_ref(), Some(ListenError::Ending { .. })) => None,
        Ok((node, Err(error))) => Some(error.context(format!("{} failed", node.id))),
        Err(panic) => Some(anyhow::Error::new(panic).context("a node failed")),
    }
}

fn report(ended: Result<(NodeContext, anyhow::Result<()>), JoinError>) {
    if let Some(error) = failure(ended) {
        tracing::error!("while draining: {error:#}");
    }
}

/// Never ends.
async fn upkeep() {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    loop {
        tick.tick().await;
        metric::upkeep();
    }
}

/// What asks the process to end.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn install() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So long that a test which waits for it fails.
    const DRAIN: Duration = Duration::from_secs(3600);
    const BUDGET: Duration = Duration::from_secs(20);

    async fn start(running: &mut Running, cluster: &Cluster, role: Role, run: Run) {
        let mut node = NodeContext::for_test(role, &format!("{role}-1"));
        node.drain_timeout = DRAIN;
        running.start(node, run, cluster).await.expect("it starts");
    }

    #[tokio::test]
    async fn a_node_that_fails_ends_the_others_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let cluster = Cluster::for_test(directory.path()).await.expect("a cluster");
        let mut running = Running::default();
        let obedient: fn() -> Run = || {
            Box::new(|_, _, shutdown| {
                Box::pin(async move {
                    shutdown.requested().await;
                    Ok(())
                })
            })
        };
        start(&mut running, &cluster, Role::Idgen, obedient()).await;
        start(&mut running, &cluster, Role::Spear, obedient()).await;
        let failing: Run = Box::new(|_, _, _| Box::pin(async { anyhow::bail!("its port is taken") }));
        start(&mut running, &cluster, Role::Ticket, failing).await;

        let error = running.first_end().await;
        assert_eq!(format!("{error:#}"), "ticket-1 failed: its port is taken");
        tokio::time::timeout(BUDGET, running.drain()).await.expect("nothing is left to wait for");
        assert!(running.tasks.is_empty());
    }

    #[tokio::test]
    async fn idgen_stays_until_the_spears_have_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let cluster = Cluster::for_test(directory.path()).await.expect("a cluster");
        let (tell, told) = tokio::sync::oneshot::channel();
        let (pass, verdict) = tokio::sync::oneshot::channel();
        let idgen: Run = Box::new(|_, _, shutdown| {
            Box::pin(async move {
                let _ = tell.send(shutdown.clone());
                shutdown.requested().await;
                Ok(())
            })
        });
        let spear: Run = Box::new(|_, _, shutdown| {
            Box::pin(async move {
                let of_idgen = told.await?;
                shutdown.requested().await;
                anyhow::ensure!(!of_idgen.is_requested(), "the spear still needs ids");
                let _ = pass.send(());
                Ok(())
            })
        });
        let mut running = Running::default();
        start(&mut running, &cluster, Role::Idgen, idgen).await;
        start(&mut running, &cluster, Role::Spear, spear).await;
        tokio::time::timeout(BUDGET, running.drain()).await.expect("idgen is asked in its turn");
        verdict.await.expect("idgen was not asked while the spear drained");
    }
}
