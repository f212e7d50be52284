//! gRPC between nodes: found through the roster, authenticated by the cluster secret, deadlines on every call.
//!
//! | file | what |
//! |---|---|
//! | `secret.rs` | [`Secret`]: shown by every client, asked for by every server ([`Guard`]) |
//! | `channels.rs` | [`Channels`]: one kept channel for each live node of a role |
//! | `ids/` | [`Ids`] and [`IdClient`]: message ids from an active idgen, many callers' in one request |
//! | `loads.rs` | [`LoadClient`]: how many connections the spears hold, from any live stat |
//! | `reports.rs` | [`ReportClient`]: what a node counts, to any live stat |

mod channels;
mod ids;
mod loads;
mod reports;
mod secret;

pub use channels::{Channels, Peer, PeerChannel};
pub use ids::{Holder, IDS_PER_REQUEST_MAX, IdClient, IdOptions, Ids, IdsError, Standing, show_standing};
pub use loads::{LoadClient, Loads};
pub use reports::{REPORT_INTERVAL, ReportClient, ReportError};
pub use secret::{Guard, Secret, ShowSecret, guard};
