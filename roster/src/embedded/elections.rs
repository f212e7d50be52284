//! Fair queues of candidates.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{Leadership, RosterError, path::check_election};

/// The most candidates who wait in one election. One above it is refused.
const CANDIDATES_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Elections {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Only those that somebody takes part in.
    elections: HashMap<Arc<str>, Election>,
    /// The serial of the last candidacy.
    last_serial: u64,
    /// Nobody wins while the roster is suspect.
    frozen: bool,
}

#[derive(Debug, Default)]
struct Election {
    leader: Option<Leader>,
    waiting: VecDeque<Candidate>,
}

#[derive(Debug)]
struct Leader {
    serial: u64,
    candidate: Arc<str>,
    lost: CancellationToken,
}

#[derive(Debug)]
struct Candidate {
    leader: Leader,
    won: oneshot::Sender<()>,
}

impl Election {
    /// Lets the first in the queue win, if nobody leads.
    fn appoint(&mut self, frozen: bool) {
        while self.leader.is_none() && !frozen {
            let Some(candidate) = self.waiting.pop_front() else { return };
            // One who has given up a moment ago is passed over; its seat finds nothing to free.
            if candidate.won.send(()).is_ok() {
                self.leader = Some(candidate.leader);
            }
        }
    }
}

impl Elections {
    pub(super) fn expire(&self, candidate: &str, noticed: bool) {
        let mut state = self.state.lock();
        let frozen = state.frozen;
        for election in state.elections.values_mut() {
            if let Some(leader) = election.leader.take_if(|leader| &*leader.candidate == candidate)
                && noticed
            {
                leader.lost.cancel();
            }
            let (expired, others) = std::mem::take(&mut election.waiting)
                .into_iter()
                .partition(|waiting: &Candidate| &*waiting.leader.candidate == candidate);
            election.waiting = others;
            election.waiting.extend::<VecDeque<_>>(expired);
            election.appoint(frozen);
        }
    }

    pub(super) fn freeze(&self) {
        let mut state = self.state.lock();
        state.frozen = true;
        for leader in state.elections.values_mut().filter_map(|election| election.leader.take()) {
            leader.lost.cancel();
        }
    }

    pub(super) fn thaw(&self) {
        let mut state = self.state.lock();
        state.frozen = false;
        for election in state.elections.values_mut() {
            election.appoint(false);
        }
    }

    /// Frees what the candidacy `serial` holds: its leadership, or its place in the queue.
    fn withdraw(&self, name: &str, serial: u64) {
        let mut state = self.state.lock();
        let frozen = state.frozen;
        let Some(election) = state.elections.get_mut(name) else { return };
        election.leader.take_if(|leader| leader.serial == serial);
        election.waiting.retain(|candidate| candidate.leader.serial != serial);
        election.appoint(frozen);
        if election.leader.is_none() && election.waiting.is_empty() {
            state.elections.remove(name);
        }
    }
}

/// Waits until `candidate` wins the election called `name`.
pub(super) async fn elect(
    elections: &Arc<Elections>,
    name: &str,
    candidate: &str,
) -> Result<Seat, RosterError> {
    check_election(name)?;
    let (won, wins) = oneshot::channel();
    let seat = join(elections, name, candidate, won)?;
    wins.await.map_err(|_| RosterError::Unavailable("the election has ended".into()))?;
    Ok(seat)
}

fn join(
    elections: &Arc<Elections>,
    name: &str,
    candidate: &str,
    won: oneshot::Sender<()>,
) -> Result<Seat, RosterError> {
    let mut state = elections.state.lock();
    state.last_serial += 1;
    let (serial, frozen) = (state.last_serial, state.frozen);
    let name: Arc<str> = name.into();
    let election = state.elections.entry(name.clone()).or_default();
    if election.waiting.len() >= CANDIDATES_MAX {
        return Err(RosterError::Unavailable(format!("{CANDIDATES_MAX} candidates wait for {name} already")));
    }
    let lost = CancellationToken::new();
    let leader = Leader { serial, candidate: candidate.into(), lost: lost.clone() };
    election.waiting.push_back(Candidate { leader, won });
    election.appoint(frozen);
    Ok(Seat { elections: elections.clone(), name, serial, lost })
}

/// A place in the queue, and later the leadership; dropping it frees either.
#[derive(Debug)]
pub(super) struct Seat {
    elections: Arc<Elections>,
    name: Arc<str>,
    serial: u64,
    lost: CancellationToken,
}

#[async_trait]
impl Leadership for Seat {
    fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    async fn resign(self: Box<Self>) {}
}

impl Drop for Seat {
    fn drop(&mut self) {
        // First, so that whoever still looks at the token stops before the next one begins.
        self.lost.cancel();
        self.elections.withdraw(&self.name, self.serial);
    }
}
