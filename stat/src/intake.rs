//! What stat answers over gRPC: a node says how it is doing, and who assigns users asks how full the spears are.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use metrics::{Counter, Label};
use store::{Report, Store};
use tonic::{Request, Response, Status};
use wire::{
    Incarnation, Role, User,
    proto::stat::{LoadsRequest, NodeReport, ReportAccepted, stat_server::Stat},
};

use crate::loads::{LoadStream, Loads};

/// The version of `NodeReport` that is understood.
const VERSION: u32 = 1;

/// Takes reports and keeps the last one of each node in the store, so that every stat node can read it.
#[derive(Clone)]
pub(crate) struct Intake {
    store: Arc<dyn Store>,
    loads: Loads,
    max_counters: usize,
    accepted: Arc<AtomicU64>,
    counter: Counter,
}

impl Intake {
    pub(crate) fn new(store: Arc<dyn Store>, loads: Loads, max_counters: usize, labels: Vec<Label>) -> Self {
        let counter = metrics::counter!("phalanx_stat_reports_total", labels);
        Self { store, loads, max_counters, accepted: Arc::default(), counter }
    }

    /// How many reports were taken since the start.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

#[tonic::async_trait]
impl Stat for Intake {
    type LoadsStream = LoadStream;

    async fn report(&self, request: Request<NodeReport>) -> Result<Response<ReportAccepted>, Status> {
        let report = checked(request.into_inner(), self.max_counters)?;
        self.store.put_report(report).await.map_err(|error| Status::unavailable(error.to_string()))?;
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.counter.increment(1);
        Ok(Response::new(ReportAccepted {}))
    }

    async fn loads(&self, request: Request<LoadsRequest>) -> Result<Response<LoadStream>, Status> {
        self.loads.subscribe(request.into_inner().version).map(Response::new)
    }
}

fn checked(report: NodeReport, max_counters: usize) -> Result<Report, Status> {
    if report.version != VERSION {
        let found = report.version;
        return Err(Status::failed_precondition(format!(
            "the report has version {found}; this stat knows {VERSION}: update the older of the two"
        )));
    }
    let role: Role =
        report.role.parse().map_err(|error| Status::invalid_argument(format!("role: {error}")))?;
    // Ids of nodes stand in paths, so they keep to the alphabet of all names.
    User::new(&report.node).map_err(|error| Status::invalid_argument(format!("node {error}")))?;
    if report.counters.len() > max_counters {
        let found = report.counters.len();
        return Err(Status::invalid_argument(format!("{found} counters are more than {max_counters}")));
    }
    if let Some((name, _)) =
        report.counters.iter().find(|(name, value)| name.len() > 64 || !value.is_finite())
    {
        let name: String = name.chars().take(64).collect();
        return Err(Status::invalid_argument(format!("counter {name:?} has a long name or no finite value")));
    }
    Ok(Report {
        role,
        node: report.node,
        incarnation: Incarnation(report.incarnation),
        reported_at: report.reported_at,
        counters: report.counters.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn report() -> NodeReport {
        NodeReport {
            version: 1,
            role: "spear".into(),
            node: "spear-1".into(),
            incarnation: 7,
            reported_at: 1_000,
            counters: [("connections".to_owned(), 3.0)].into(),
        }
    }

    #[test]
    fn a_good_report_is_taken_as_it_is() {
        let taken = checked(report(), 1).expect("it is good");
        assert_eq!(
            (taken.role, taken.node.as_str(), taken.incarnation),
            (Role::Spear, "spear-1", Incarnation(7))
        );
        assert_eq!(taken.counters["connections"], 3.0);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let refused = |report: NodeReport| checked(report, 1).expect_err("it is bad").code();
        assert_eq!(refused(NodeReport { version: 2, ..report() }), Code::FailedPrecondition);
        assert_eq!(refused(NodeReport { role: "sword".into(), ..report() }), Code::InvalidArgument);
        assert_eq!(refused(NodeReport { node: "a/b".into(), ..report() }), Code::InvalidArgument);
        let counters = [("x".to_owned(), f64::NAN)].into();
        assert_eq!(refused(NodeReport { counters, ..report() }), Code::InvalidArgument);
        let counters = [("x".to_owned(), 1.0), ("y".to_owned(), 1.0)].into();
        assert_eq!(refused(NodeReport { counters, ..report() }), Code::InvalidArgument);
    }
}
