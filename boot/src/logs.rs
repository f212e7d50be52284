//! Logs: one line an event, on the standard error output.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, registry, util::SubscriberInitExt};

use crate::{LogFormat, LogSettings};

/// Sends the logs of this process to the standard error output, as `settings` say.
///
/// # Errors
/// The filter cannot be read, or logs go somewhere already.
pub fn install(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = filter(&settings.level)?;
    let writer = std::io::stderr;
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match settings.format {
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Pretty => layer.with_ansi(writer().is_terminal()).boxed(),
    };
    registry().with(layer.with_filter(filter)).try_init()?;
    Ok(())
}

/// `info`, or `info,spear=debug`.
pub(crate) fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::builder().parse(level).map_err(|error| {
        anyhow::anyhow!("log.level: expected a level (error, warn, info, debug, trace) or pairs such as \"info,spear=debug\", got {level:?}: {error}")
    })
}
