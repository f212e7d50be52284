//! Questions to stat: with the API key, bounded in time, number and size, and put to the next node where one fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use axum::{body::Bytes, http::StatusCode};
use boot::{Problem, Secret};
use metrics::{Counter, Label, counter};
use reqwest::redirect;
use roster::Snapshot;
use tokio::sync::{Semaphore, watch};
use wire::{Code, Role};

use crate::Settings;

/// How many questions may be under way; a further one is refused at once. A page asks two a second.
const QUESTIONS: usize = 64;

/// The largest answer that is passed on, in bytes: about 10,000 nodes with 20 counters.
const ANSWER_BYTES: usize = 16 << 20;

/// How many stat nodes are asked before giving up.
const ATTEMPTS: usize = 3;

/// The stat nodes of the cluster.
pub(crate) struct Stat {
    client: reqwest::Client,
    key: Secret,
    /// Set by hand; empty: the roster says.
    fixed: String,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    /// Where in the list of stat nodes to begin: at the one that answered last.
    preferred: AtomicUsize,
    failing: AtomicBool,
    questions: Semaphore,
    failures: Counter,
}

enum Failure {
    /// Another node may know better.
    Node(String),
    /// Any node would say the same.
    Question(Problem),
}

impl Stat {
    pub(crate) fn new(
        settings: &Settings,
        embedded: bool,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        labels: Vec<Label>,
    ) -> anyhow::Result<Self> {
        let timeout = Duration::from_millis(settings.stat_timeout_ms);
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            // The key goes to stat, and to nobody that stat or the environment names.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self {
            client,
            key: settings.key(embedded),
            fixed: settings.stat_url.trim_end_matches('/').to_owned(),
            snapshot,
            preferred: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            questions: Semaphore::new(QUESTIONS),
            failures: counter!("phalanx_minions_ui_stat_failures_total", labels),
        })
    }

    /// The JSON at `path`, from the first stat node that answers.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Problem> {
        let Ok(_slot) = self.questions.try_acquire() else {
            let detail = format!("{QUESTIONS} questions to stat are under way: try again in a moment");
            return Err(Problem::new(Code::Unavailable, detail).retry_after_s(1));
        };
        let nodes = self.nodes();
        let mut reasons = Vec::new();
        for (place, url) in &nodes {
            match self.ask(url, path).await {
                Ok(body) => {
                    self.preferred.store(*place, Ordering::Relaxed);
                    self.set_failing(false, "");
                    return Ok(body);
                }
                Err(Failure::Question(problem)) => return Err(problem),
                Err(Failure::Node(reason)) => {
                    self.failures.increment(1);
                    reasons.push(format!("{url} {reason}"));
                }
            }
        }
        let detail = match reasons.is_empty() {
            true => "no stat node is in the roster".to_owned(),
            false => format!("no stat node answers: {}", reasons.join("; ")),
        };
        self.set_failing(true, &detail);
        Err(Problem::new(Code::Unavailable, detail).retry_after_s(3))
    }

    /// The addresses to ask, each with its place in the roster's order, beginning with the one that answered last.
    fn nodes(&self) -> Vec<(usize, String)> {
        if !self.fixed.is_empty() {
            return vec![(0, self.fixed.clone())];
        }
        // A draining node still answers, so it is asked too.
        let snapshot = self.snapshot.borrow();
        let mut nodes: Vec<(usize, String)> =
            snapshot.of_role(Role::Stat).map(|record| record.public_url.clone()).enumerate().collect();
        if !nodes.is_empty() {
            let first = self.preferred.load(Ordering::Relaxed) % nodes.len();
            nodes.rotate_left(first);
        }
        nodes.truncate(ATTEMPTS);
        nodes
    }

    async fn ask(&self, url: &str, path: &str) -> Result<Bytes, Failure> {
        let request = self.client.get(format!("{url}{path}")).bearer_auth(self.key.expose());
        let mut response = request.send().await.map_err(node_failure)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                let detail = "stat knows nothing of this; /api/cluster lists all nodes";
                return Err(Failure::Question(Problem::new(Code::NotFound, detail)));
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let detail =
                    "stat refuses the API key of minions-ui: set minions-ui.api_key to one of stat.api_keys";
                let problem = Problem::new(Code::Unavailable, detail).status(StatusCode::BAD_GATEWAY);
                return Err(Failure::Question(problem));
            }
            status => return Err(Failure::Node(format!("answered {status}"))),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(node_failure)? {
            if body.len() + chunk.len() > ANSWER_BYTES {
                return Err(Failure::Node(format!("answered more than {ANSWER_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    }

    /// Logs the change, not every question.
    fn set_failing(&self, failing: bool, detail: &str) {
        match (self.failing.swap(failing, Ordering::Relaxed), failing) {
            (false, true) => tracing::warn!("the page has no data: {detail}"),
            (true, false) => tracing::info!("stat answers again"),
            _ => {}
        }
    }
}

fn node_failure(error: reqwest::Error) -> Failure {
    let reason = match (error.is_timeout(), error.is_connect()) {
        (true, _) => "did not answer in time",
        (_, true) => "cannot be reached",
        _ => "broke off its answer",
    };
    Failure::Node(reason.to_owned())
}
