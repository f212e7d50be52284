//! A kept `Cut` stream to one node.

use std::time::Duration;

use tokio::{sync::mpsc, time};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use wire::{
    NodeRef,
    proto::idgen::{CutRequest, CutResponse, Run, idgen_client::IdgenClient},
};

use crate::channels::Peer;

/// An open stream. Drop it after an error: an answer that comes late must not be taken for the next one's.
pub(super) struct CutStream {
    pub(super) node: NodeRef,
    requests: mpsc::Sender<CutRequest>,
    answers: Streaming<CutResponse>,
}

impl CutStream {
    pub(super) async fn open(peer: &Peer, timeout: Duration) -> Result<Self, Status> {
        // One request is in flight at a time, so one place is enough.
        let (requests, outgoing) = mpsc::channel(1);
        let mut client = IdgenClient::new(peer.channel.clone());
        let opened = time::timeout(timeout, client.cut(ReceiverStream::new(outgoing))).await;
        let answers = opened.map_err(|_| late(timeout))??.into_inner();
        Ok(Self { node: peer.node.clone(), requests, answers })
    }

    /// Asks for `count` ids; the runs hold exactly as many, ascending.
    pub(super) async fn cut(&mut self, count: usize, timeout: Duration) -> Result<Vec<Run>, Status> {
        let asked = u32::try_from(count).map_err(|_| Status::invalid_argument("too many ids"))?;
        // A stream that the other side has ended takes no request, yet still holds the status that says why.
        let _ = self.requests.try_send(CutRequest { count: asked });
        let answer = time::timeout(timeout, self.answers.message()).await.map_err(|_| late(timeout))??;
        let runs = answer.ok_or_else(|| Status::unavailable("the node ended the stream"))?.runs;
        check(&runs, u64::from(asked))?;
        Ok(runs)
    }
}

fn late(timeout: Duration) -> Status {
    Status::deadline_exceeded(format!("no answer within {} ms", timeout.as_millis()))
}

/// Whoever answers something else is not the idgen that this client knows: its ids are not used.
fn check(runs: &[Run], asked: u64) -> Result<(), Status> {
    let count: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
    let whole = runs.iter().all(|run| run.first.checked_add(u64::from(run.count)).is_some());
    let ascending =
        whole && runs.windows(2).all(|pair| pair[0].first + u64::from(pair[0].count) <= pair[1].first);
    if count == asked && ascending {
        return Ok(());
    }
    Err(Status::internal(format!("asked for {asked} ids, got {count} in {} runs", runs.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_checked() {
        let run = |first, count| Run { first, count };
        assert!(check(&[run(10, 2), run(12, 1)], 3).is_ok());
        assert!(check(&[run(10, 2)], 3).is_err(), "too few");
        assert!(check(&[run(10, 2), run(11, 1)], 3).is_err(), "one id twice");
        assert!(check(&[run(u64::MAX, 2)], 2).is_err(), "beyond 64 bits");
    }
}
