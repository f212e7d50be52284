//! Where records go.

use async_trait::async_trait;
use boot::Cluster;

use super::{ExportKind, ExportSettings, Record};

/// A topic of a message queue. It connects with the first records, and again by itself.
#[async_trait]
pub(super) trait Topic: Send + Sync + 'static {
    /// What may be logged of it.
    fn name(&self) -> &str;

    /// Returns once all of these are in the topic as safely as it keeps anything, save those that it will never take: answers how many
    /// these are. Records with the same key stay in order.
    ///
    /// # Errors
    /// Why not; some of them may be there, and come again with the next call.
    async fn publish(&self, records: &[Record]) -> Result<usize, String>;
}

/// The topic of the settings; `None`: there is none.
///
/// # Errors
/// Settings that cannot be used, or a kind that this binary was built without.
pub(super) fn open(settings: &ExportSettings, cluster: &Cluster) -> anyhow::Result<Option<Box<dyn Topic>>> {
    match settings.to {
        ExportKind::Nowhere => Ok(None),
        #[cfg(feature = "kafka")]
        ExportKind::Kafka => {
            Ok(Some(Box::new(super::kafka::KafkaTopic::new(settings, cluster.brokers.kafka.client())?)))
        }
        #[cfg(not(feature = "kafka"))]
        ExportKind::Kafka => {
            anyhow::bail!("stat.export.to: Kafka is not in this program: build it with --features kafka")
        }
        ExportKind::RocketMq => {
            Ok(Some(Box::new(super::rocketmq::RocketMqTopic::new(settings, &cluster.brokers.rocketmq))))
        }
    }
}
