// A user's archive: reads the topic that messages are exported to, with a client that is not ours, and keeps what it finds.

import { readTopic as readKafka } from './archive/kafka.mjs';
import { readTopic as readRocketMq } from './archive/rocketmq.mjs';
import { Client, usersOnDifferentSpears } from './client.mjs';
import { PROFILE } from './profile.mjs';
import { unique } from './suite.mjs';
import { until } from './wait.mjs';

const AWAKE_MS = 60_000;
const READERS = { kafka: readKafka, rocketmq: readRocketMq };

export class Archive {
  /** Every record, in the order in which it came: `{key, partition, value}`. */
  records = [];
  /** What was no proper record. */
  problems = [];
  /** Ends the reading; resolves once it has ended. */
  close;

  /** Reads `topic` of the profile's own brokers from its beginning; waits until the topic is there. */
  static async open(cluster, topic) {
    const archive = new Archive();
    archive.close = await READERS[PROFILE](cluster, topic, AWAKE_MS, (...record) => archive.#take(...record));
    return archive;
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

  #take(key, partition, text) {
    try {
      const value = JSON.parse(text);
      if (!key || value.conversation !== key || value.version !== 1) throw new Error(`${key}: ${text}`);
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
