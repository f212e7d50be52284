//! What every work needs.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::{
    servers::Process,
    target::{Target, TargetOptions},
};

/// One run against one server.
#[derive(Debug)]
pub struct Bench {
    /// Where users connect.
    pub target: Target,
    /// The processes that are measured.
    pub servers: Vec<Process>,
    /// What the server is called.
    pub label: String,
    began: Instant,
    run: String,
}

impl Bench {
    /// A run with names of its own, so that none meets what an earlier one left in the store.
    #[must_use]
    pub fn new(options: &TargetOptions) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            target: Target::new(options),
            servers: options.servers.clone(),
            label: options.label.clone(),
            began: Instant::now(),
            run: format!("b{:x}", now.as_millis()),
        }
    }

    /// A name of this run.
    #[must_use]
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.run)
    }

    /// Tells whoever waits how far the run is.
    pub fn say(&self, what: &str) {
        eprintln!("[{:6.1} s] {}: {what}", self.began.elapsed().as_secs_f64(), self.label);
    }
}
