//! The relays that can be chosen: a line each in [`relays!`].

use std::sync::Arc;

use figment::Figment;
use relay::{EmbeddedRelay, FaultyRelay, KafkaOptions, RedisRelay, Relay, RocketMqOptions};
use serde::Deserialize;
use setting::Fault;

use crate::{SettingsError, Shared, cluster::ClusterError, servers, settings::table};

/// Makes of each line a [`RelayKind`], and opens it by the function that is named: with all settings; or with the relay's own, where the
/// line goes on with their table and its type. This is `Clone`, `Debug`, `Default` and `Deserialize`, and has a `check`. What needs a Cargo
/// feature of this crate names it last. A kind is called as in the profiles, and as its table, but for capitals.
macro_rules! relays {
    ($($(#[$doc:meta])* $Kind:ident => $new:path $(, $table:ident: $Options:ty $(, feature $feature:tt)?)?;)*) => {
        /// The implementations.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum RelayKind {
            $($(#[$doc])* $Kind,)*
        }

        impl RelayKind {
            const ALL: &[Self] = &[$(Self::$Kind,)*];

            /// The Cargo feature for want of which it is not in this program.
            pub(crate) fn left_out(self) -> Option<&'static str> {
                match self {
                    $($($(Self::$Kind if !cfg!(feature = $feature) => Some($feature),)?)?)*
                    _ => None,
                }
            }
        }

        /// The tables of relays that have one of their own. Each is there whatever relays: others use these servers too.
        #[derive(Debug, Clone, Default)]
        pub struct Brokers {
            $($(#[doc = concat!("`[", stringify!($table), "]`.")] pub $table: $Options,)?)*
        }

        impl Brokers {
            pub(crate) const TABLES: &[&str] = &[$($(stringify!($table),)?)*];

            pub(crate) fn read(figment: &Figment) -> Result<Self, SettingsError> {
                Ok(Self { $($($table: table(figment, stringify!($table))?,)?)* })
            }

            /// The first table with a fault, where there is one, and which that is.
            pub(crate) fn check(&self) -> Result<(), (&'static str, Fault)> {
                $($(self.$table.check().map_err(|fault| (stringify!($table), fault))?;)?)*
                Ok(())
            }
        }

        fn chosen(shared: &Shared) -> Result<Arc<dyn Relay>, ClusterError> {
            Ok(match shared.relay.kind {
                $(
                    $($(#[cfg(not(feature = $feature))] RelayKind::$Kind => return Err(ClusterError::NoRelay($feature)),)?)?
                    $($(#[cfg(feature = $feature)])?)? RelayKind::$Kind => relays!(@new shared, $new $(, $table)?),
                )*
            })
        }
    };
    (@new $shared:ident, $new:path) => { Arc::new($new($shared)?) };
    (@new $shared:ident, $new:path, $table:ident) => { Arc::new($new($shared.brokers.$table.clone())) };
}

relays! {
    /// Within one process.
    Embedded => embedded;
    /// On Redis, as `[redis]` and `[relay.redis]` say.
    Redis => redis;
    /// On Kafka, as `[kafka]` says.
    Kafka => relay::KafkaRelay::new, kafka: KafkaOptions, feature "kafka";
    /// On RocketMQ, as `[rocketmq]` says.
    RocketMq => relay::RocketMqRelay::new, rocketmq: RocketMqOptions;
}

impl RelayKind {
    /// The names of those that are not for one process only, for a refusal that quotes them from end to end.
    pub(crate) fn outside() -> String {
        let outside = Self::ALL.iter().filter(|kind| **kind != Self::Embedded);
        let names: Vec<_> = outside.map(|kind| format!("{kind:?}").to_lowercase()).collect();
        let names = names.join("\", \"");
        names.rsplit_once(", ").map_or(names.clone(), |(others, last)| format!("{others} or {last}"))
    }
}

/// The relay of these settings, with the faults that they ask for. It needs nobody before it is first used.
pub(crate) fn open(shared: &Shared) -> Result<Arc<dyn Relay>, ClusterError> {
    let (relay, faults) = (chosen(shared)?, shared.relay.faults);
    if faults.is_off() {
        return Ok(relay);
    }
    tracing::warn!(?faults, "the relay loses or disturbs hints on purpose: for tests only");
    Ok(Arc::new(FaultyRelay::new(relay, faults)))
}

/// How many hints may wait for one spear in the embedded relay. At 64 KiB a message this is 256 MiB at the very most;
/// what does not fit is dropped, and found in the store.
const EMBEDDED_QUEUE: usize = 4096;

fn embedded(_: &Shared) -> Result<EmbeddedRelay, ClusterError> {
    Ok(EmbeddedRelay::new(EMBEDDED_QUEUE))
}

fn redis(shared: &Shared) -> Result<RedisRelay, ClusterError> {
    let redis = &shared.relay.redis;
    // Databases keep keys apart, but not channels.
    let channels = format!("{}:{}:relay:", redis.key_prefix, redis.database);
    Ok(RedisRelay::new(servers::redis("relay.redis", redis)?, channels)?)
}
