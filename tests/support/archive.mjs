// A user's archive: reads the topic that messages are exported to, with a client of Kafka that is not ours, and keeps what it finds.

import { Kafka, logLevel } from 'kafkajs';

import { Client, usersOnDifferentSpears } from './client.mjs';
import { unique } from './suite.mjs';
import { until } from './wait.mjs';

const AWAKE_MS = 60_000;

export class Archive {
  /** Every record, in the order in which it came: `{key, partition, value}`. */
  records = [];
  /** What was no proper record. */
  problems = [];
  #consumer;

  /** Reads `topic` from its beginning; waits until the topic is there. */
  static async open(broker, topic) {
    const archive = new Archive();
    const kafka = new Kafka({ clientId: 'archive', brokers: [broker], logLevel: logLevel.NOTHING, retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 1_000 } });
    const admin = kafka.admin();
    await admin.connect();
    await until(async () => (await admin.listTopics()).includes(topic), AWAKE_MS, `the topic ${topic} is there`);
    await admin.disconnect();
    archive.#consumer = kafka.consumer({ groupId: unique('archive'), maxWaitTimeInMs: 100, allowAutoTopicCreation: false });
    await archive.#consumer.connect();
    await archive.#consumer.subscribe({ topic, fromBeginning: true });
    await archive.#consumer.run({ eachMessage: async ({ partition, message }) => archive.#take(partition, message) });
    return archive;
  }

  close() {
    return this.#consumer.disconnect();
  }

  /** The records of a conversation, each `seq` once, in the order in which they came first. */
  of(conversation) {
    const bySeq = new Map();
    for (const { key, value } of this.records) {
      if (key === conversation && !bySeq.has(value.seq)) bySeq.set(value.seq, value);
    }
    return [...bySeq.values()];
  }

  /** How many records came again. */
  get repeated() {
    return this.records.length - new Set(this.records.map(({ key, value }) => `${key} ${value.seq}`)).size;
  }

  #take(partition, message) {
    try {
      const [key, value] = [message.key.toString(), JSON.parse(message.value.toString())];
      if (value.conversation !== key || value.version !== 1) throw new Error(`${key}: ${message.value}`);
      this.records.push({ key, partition, value });
    } catch (error) {
      this.problems.push(error.message);
    }
  }
}

/** Sends until something is exported: spears learn a second after stat that messages are to be written down. */
export async function exporting(cluster) {
  const users = Object.values(await usersOnDifferentSpears(cluster, unique('early')));
  const clients = await Promise.all(users.map((user) => Client.connect(cluster, user)));
  const stats = [...cluster.nodes.values()].filter(({ role }) => role === 'stat');
  await until(
    async () => {
      for (const client of clients) await client.sendTo(client.user, 'is anybody there?');
      const counts = await Promise.all(stats.map(({ id }) => cluster.metric(id, 'phalanx_export_events_total')));
      return counts.some((count) => count > 0);
    },
    AWAKE_MS,
    'something is exported',
  );
  for (const client of clients) client.close();
}
