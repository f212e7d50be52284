//! A topic of Kafka.

use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord, Producer as _},
};
use tokio::sync::OnceCell;

use super::{ExportSettings, Record, topic::Topic};

/// The largest record, in bytes: some room above the largest `body_bytes` that can be set.
const RECORD_BYTES_MAX: usize = 17 * 1024 * 1024;

/// A producer for all shares, and the topic, made once.
pub(super) struct KafkaTopic {
    topic: String,
    name: String,
    partitions: i32,
    replicas: i32,
    timeout: Duration,
    config: ClientConfig,
    made: OnceCell<()>,
    producer: Mutex<Option<FutureProducer>>,
}

impl KafkaTopic {
    /// `config`: how to reach the brokers.
    ///
    /// # Errors
    /// Settings that librdkafka does not take.
    pub(super) fn new(settings: &ExportSettings, mut config: ClientConfig) -> anyhow::Result<Self> {
        let name = format!("kafka:{}", settings.topic());
        config
            // As safe as the topic is: all replicas that keep up have it. What is sent again by librdkafka is neither twice nor out of order.
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            .set("message.timeout.ms", settings.timeout_ms.to_string())
            .set("linger.ms", "5")
            // As the clients of other languages choose a partition.
            .set("partitioner", "murmur2_random");
        let topic = Self {
            topic: settings.topic().to_owned(),
            name,
            partitions: i32::try_from(settings.partitions).unwrap_or(i32::MAX),
            replicas: match settings.replicas {
                0 => -1,
                replicas => i32::try_from(replicas).unwrap_or(i32::MAX),
            },
            timeout: Duration::from_millis(settings.timeout_ms),
            config,
            made: OnceCell::new(),
            producer: Mutex::new(None),
        };
        let producer = topic.config.create().context("stat.export cannot use [kafka]")?;
        *topic.producer.lock() = Some(producer);
        Ok(topic)
    }

    /// The topic is there from now on. Brokers that make topics by themselves would give it one partition.
    async fn make(&self) -> Result<(), String> {
        let admin: AdminClient<DefaultClientContext> = self.config.create().map_err(text)?;
        let largest = (RECORD_BYTES_MAX + 65_536).to_string();
        let topic = NewTopic::new(&self.topic, self.partitions, TopicReplication::Fixed(self.replicas))
            .set("max.message.bytes", &largest);
        let options =
            AdminOptions::new().operation_timeout(Some(self.timeout)).request_timeout(Some(self.timeout));
        let answers = admin.create_topics([&topic], &options).await.map_err(text)?;
        match answers.into_iter().next() {
            Some(Ok(_)) => tracing::info!(
                topic = self.topic,
                partitions = self.partitions,
                "the topic of the export is made"
            ),
            // Or it may not be made by us: sending will tell.
            None
            | Some(Err((
                _,
                RDKafkaErrorCode::TopicAlreadyExists
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ))) => {}
            Some(Err((_, code))) => return Err(format!("the topic {} cannot be made: {code}", self.topic)),
        }
        Ok(())
    }

    fn producer(&self) -> Result<FutureProducer, String> {
        let mut producer = self.producer.lock();
        if let Some(producer) = &*producer {
            return Ok(producer.clone());
        }
        Ok(producer.insert(self.config.create().map_err(text)?).clone())
    }

    /// One that can do nothing more makes room for another.
    fn give_up(&self, failed: &FutureProducer) {
        if failed.client().fatal_error().is_some() {
            *self.producer.lock() = None;
        }
    }
}

#[async_trait::async_trait]
impl Topic for KafkaTopic {
    fn name(&self) -> &str {
        &self.name
    }

    async fn publish(&self, records: &[Record]) -> Result<usize, String> {
        self.made.get_or_try_init(|| self.make()).await?;
        let producer = self.producer()?;
        let mut outcome = Outcome::default();
        let mut sent = Vec::with_capacity(records.len());
        for record in records {
            match producer.send_result(FutureRecord::to(&self.topic).key(&record.key).payload(&record.value))
            {
                Ok(delivery) => sent.push((record, delivery)),
                Err((error, _)) => {
                    outcome.fail(record, &error);
                    if outcome.why.is_some() {
                        break;
                    }
                }
            }
        }
        // Also where one has failed: nothing of this call may come after what the next one sends.
        for (record, delivery) in sent {
            match delivery.await {
                Ok(Ok(_)) => {}
                Ok(Err((error, _))) => outcome.fail(record, &error),
                Err(_) => outcome.why = outcome.why.or_else(|| Some("the producer has ended".into())),
            }
        }
        match outcome.why {
            None => Ok(outcome.refused),
            Some(why) => {
                self.give_up(&producer);
                Err(why)
            }
        }
    }
}

/// What became of a batch.
#[derive(Default)]
struct Outcome {
    /// Records that the brokers will never take.
    refused: usize,
    /// Why it has to be sent again.
    why: Option<String>,
}

impl Outcome {
    fn fail(&mut self, record: &Record, error: &KafkaError) {
        // Sending it again would hold up all others for ever.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
            self.refused += 1;
            tracing::error!(
                conversation = record.key,
                bytes = record.value.len(),
                "a message is larger than the topic's max.message.bytes: it is not exported"
            );
        } else if self.why.is_none() {
            self.why = Some(error.to_string());
        }
    }
}

fn text(error: KafkaError) -> String {
    error.to_string()
}
