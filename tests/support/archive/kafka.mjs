// Reads a topic of Kafka with kafkajs.

import { Kafka, logLevel } from 'kafkajs';

import { unique } from '../suite.mjs';
import { until } from '../wait.mjs';

/** Waits until the topic is there, reads it from its beginning, and answers how to end that. */
export async function readTopic({ servers }, topic, budgetMs, take) {
  const kafka = new Kafka({
    clientId: 'archive',
    brokers: [servers.kafka.address],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 1_000 },
  });
  const admin = kafka.admin();
  await admin.connect();
  await until(async () => (await admin.listTopics()).includes(topic), budgetMs, `the topic ${topic} is there`);
  await admin.disconnect();
  const consumer = kafka.consumer({ groupId: unique('archive'), maxWaitTimeInMs: 100, allowAutoTopicCreation: false });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ eachMessage: async ({ partition, message }) => take(message.key?.toString(), partition, message.value?.toString()) });
  return () => consumer.disconnect();
}
