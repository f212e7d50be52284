//! What goes wrong on purpose: a wall clock that a test sets.

use std::{path::Path, sync::Arc, time::Duration};

use boot::{Condition, Readiness};
use snowflake::{Clock, MovedClock, SystemClock};
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::settings::FaultSettings;

/// Between two looks at the file.
const LOOK: Duration = Duration::from_millis(20);

/// The machine's clocks, or those that the settings ask for: these follow their file until `stop`.
pub(crate) fn clock(
    settings: &FaultSettings,
    readiness: &Readiness,
    stop: &CancellationToken,
) -> Arc<dyn Clock> {
    let file = settings.clock_file.clone();
    if file.as_os_str().is_empty() {
        return Arc::new(SystemClock);
    }
    let moved = Moved {
        clock: Arc::new(MovedClock::default()),
        shown: readiness.condition("faults", "reading idgen.faults.clock_file"),
    };
    let clock = moved.clock.clone();
    // Before anything asks for the time.
    moved.show(std::fs::read_to_string(&file));
    tracing::warn!(file = %file.display(), "the wall clock is what idgen.faults.clock_file makes it: for tests only");
    let stop = stop.clone();
    boot::spawn(async move { stop.run_until_cancelled(moved.follow(&file)).await });
    clock
}

struct Moved {
    clock: Arc<MovedClock>,
    shown: Condition,
}

impl Moved {
    async fn follow(&self, file: &Path) {
        loop {
            time::sleep(LOOK).await;
            self.show(tokio::fs::read_to_string(file).await);
        }
    }

    /// A file that is not there, or holds something else, moves nothing.
    fn show(&self, text: std::io::Result<String>) {
        let by_ms = text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        if self.clock.move_by(by_ms) {
            tracing::warn!(by_ms, "the wall clock is moved on purpose");
        }
        self.shown.ok(format!("the wall clock is moved by {by_ms} ms on purpose"));
    }
}
