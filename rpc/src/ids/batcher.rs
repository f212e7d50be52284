//! One request in flight; the next one carries what gathered meanwhile.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use metrics::{Counter, Histogram};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use wire::{MessageId, proto::idgen::Run};

use super::{
    IDS_PER_REQUEST_MAX, IdOptions,
    fallback::{self, Fallback, Search},
    source::Source,
    standing::Board,
};

/// Before the next attempt, where idgen is sought and this node has no ids of its own left.
const PAUSE: Duration = Duration::from_millis(50);

/// One caller's call. It is abandoned when the caller no longer waits.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) count: usize,
    pub(super) answer: oneshot::Sender<Vec<MessageId>>,
}

pub(super) struct Batcher {
    asks: mpsc::Receiver<Ask>,
    /// What the next request carries, in the order of the calls: [`IDS_PER_REQUEST_MAX`] ids at most.
    batch: VecDeque<Ask>,
    /// The first one that did not fit.
    next: Option<Ask>,
    /// `None` while it is sought.
    source: Option<Source>,
    search: Option<Search>,
    fallback: Fallback,
    /// The highest one that was handed out.
    last: MessageId,
    trouble: Arc<Mutex<Arc<str>>>,
    board: Board,
    metrics: Metrics,
}

struct Metrics {
    requests: Counter,
    ids: Counter,
    seconds: Histogram,
}

impl Metrics {
    fn new(options: &IdOptions) -> Self {
        let labels = || options.labels.clone();
        Self {
            requests: metrics::counter!("phalanx_rpc_id_requests_total", labels()),
            ids: metrics::counter!("phalanx_rpc_ids_total", labels()),
            seconds: metrics::histogram!("phalanx_rpc_id_request_seconds", labels()),
        }
    }
}

impl Batcher {
    pub(super) fn new(
        asks: mpsc::Receiver<Ask>,
        source: Source,
        fallback: Fallback,
        options: &IdOptions,
        trouble: Arc<Mutex<Arc<str>>>,
        board: Board,
    ) -> Self {
        Self {
            asks,
            batch: VecDeque::new(),
            next: None,
            source: Some(source),
            search: None,
            fallback,
            last: MessageId(0),
            trouble,
            board,
            metrics: Metrics::new(options),
        }
    }

    /// Serves callers until `stop`, or until none is left. Who still waits then learns it by the dropped channel.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.serve()).await;
    }

    async fn serve(&mut self) {
        while let Some(count) = self.gather().await {
            let started = Instant::now();
            self.metrics.requests.increment(1);
            match self.cut(count).await {
                Ok(runs) => {
                    self.metrics.seconds.record(started.elapsed().as_secs_f64());
                    self.metrics.ids.increment(count as u64);
                    self.hand_out(&runs);
                }
                Err(trouble) => {
                    let trouble: Arc<str> = trouble.into();
                    *self.trouble.lock() = trouble.clone();
                    self.board.none(trouble);
                    match &mut self.source {
                        Some(source) => source.pause().await,
                        None => time::sleep(PAUSE).await,
                    }
                }
            }
        }
    }

    /// Fills the batch with what waits, and says how many ids it needs. `None` when no caller can come any more.
    async fn gather(&mut self) -> Option<usize> {
        loop {
            self.batch.retain(|ask| !ask.answer.is_closed());
            let mut count: usize = self.batch.iter().map(|ask| ask.count).sum();
            while let Some(ask) = self.next.take().or_else(|| self.asks.try_recv().ok()) {
                if ask.answer.is_closed() {
                    continue;
                }
                if count + ask.count > IDS_PER_REQUEST_MAX {
                    self.next = Some(ask);
                    break;
                }
                count += ask.count;
                self.batch.push_back(ask);
            }
            if count > 0 {
                return Some(count);
            }
            self.next = Some(self.asks.recv().await?);
        }
    }

    /// From idgen; from this node's own worker number where that is the only way.
    async fn cut(&mut self, count: usize) -> Result<Vec<Run>, String> {
        let trouble = match self.ask(count).await {
            Ok(runs) => {
                self.board.idgen();
                return Ok(runs);
            }
            Err(trouble) => trouble,
        };
        match self.fallback.cut(count, self.last) {
            None => Err(trouble),
            Some(Err(refused)) => Err(format!("{trouble}; {refused}")),
            Some(Ok(runs)) => {
                self.board.own();
                if let Some(source) = self.source.take() {
                    self.search = Some(self.fallback.seek(source));
                }
                Ok(runs)
            }
        }
    }

    /// From idgen, unless it is sought or waited for too long.
    async fn ask(&mut self, count: usize) -> Result<Vec<Run>, String> {
        if let Some(search) = &mut self.search {
            tokio::select! {
                biased;
                source = fallback::found(search) => self.source = Some(source),
                () = self.fallback.allowed() => return Err("no idgen serves".into()),
            }
            self.search = None;
        }
        let Some(source) = &mut self.source else { return Err("no idgen serves".into()) };
        tokio::select! {
            biased;
            asked = source.cut(count) => asked,
            () = self.fallback.out_of_patience() => Err("no idgen has answered in time".into()),
        }
    }

    fn hand_out(&mut self, runs: &[Run]) {
        self.last = runs.last().map_or(self.last, |run| {
            self.last.max(MessageId(run.first + u64::from(run.count.saturating_sub(1))))
        });
        let mut ids = runs.iter().flat_map(|run| run.first..run.first + u64::from(run.count)).map(MessageId);
        for ask in self.batch.drain(..) {
            // The ids of one who no longer waits are not used.
            let _ = ask.answer.send(ids.by_ref().take(ask.count).collect());
        }
    }
}
