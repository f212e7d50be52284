//! The metrics of the process, and each node's share of them.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds in seconds: from a local lock to a request that somebody gave up on.
const SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// One recorder a process: the `metrics` macros know only one.
static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder. Later calls in the same process change nothing.
pub(crate) fn install() -> Result<(), BuildError> {
    if HANDLE.get().is_some() {
        return Ok(());
    }
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?;
    let handle = builder.install_recorder()?;
    metrics::gauge!("phalanx_build_info", "version" => crate::node::VERSION).set(1.0);
    let _ = HANDLE.set(handle);
    Ok(())
}

/// Lets the recorder forget what was read, so that histograms stay bounded. To be called every few seconds.
pub(crate) fn upkeep() {
    if let Some(handle) = HANDLE.get() {
        handle.run_upkeep();
    }
}

/// The metrics of the node `id`, and those that belong to no node, as Prometheus text.
pub(crate) fn render(id: &str) -> String {
    HANDLE.get().map_or_else(String::new, |handle| of_node(&handle.render(), id))
}

/// Several nodes share a process and so a recorder: another node's lines would be counted twice.
fn of_node(text: &str, id: &str) -> String {
    let own = format!("node=\"{id}\"");
    let belongs = |line: &&str| line.starts_with('#') || !line.contains("node=\"") || line.contains(&own);
    text.lines().filter(belongs).flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_shows_its_own_metrics_and_those_of_the_process() {
        let text =
            "# TYPE a counter\na{node=\"spear-1\"} 1\na{node=\"spear-2\"} 2\na{node=\"spear-11\"} 3\nb 4\n";
        assert_eq!(of_node(text, "spear-1"), "# TYPE a counter\na{node=\"spear-1\"} 1\nb 4\n");
    }
}
