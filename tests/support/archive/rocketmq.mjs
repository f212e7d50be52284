// Reads a topic of RocketMQ with Apache's own client, which is in Java: Archive.java beside this file.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { ROOT } from '../process.mjs';
import { within } from '../wait.mjs';

const LOG_BYTES = 4_000;

/** Waits until the topic is there, reads it from its beginning, and answers how to end that. A partition is a queue of a broker. */
export async function readTopic({ servers }, topic, budgetMs, take) {
  const files = execFileSync(join(ROOT, 'bin', 'lib', 'broker.sh'), ['rocketmq'], { encoding: 'utf8' }).trim();
  const directory = mkdtempSync(join(tmpdir(), 'phalanx-archive-'));
  const reader = spawn(
    'java',
    [
      '-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', `-Duser.home=${directory}`,
      `-Drmq.logback.configurationFile=${join(ROOT, 'bin', 'lib', 'brokers', 'rocketmq', 'logback.xml')}`,
      '-cp', join(files, 'lib', '*'), join(ROOT, 'tests', 'support', 'archive', 'Archive.java'), servers['rocketmq-names'].address, topic,
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  let log = '';
  reader.stderr.on('data', (bytes) => (log = (log + bytes).slice(-LOG_BYTES)));
  const ended = once(reader, 'close').then(() => rmSync(directory, { recursive: true, force: true }));
  const begun = new Promise((resolve, reject) => {
    createInterface({ input: reader.stdout }).on('line', (line) => {
      const { queues, key, queue, body } = JSON.parse(line);
      if (queues === undefined) take(key, queue, body);
      else resolve();
    });
    ended.then(() => reject(new Error(`the archive's reader has ended: ${log}`)));
  });
  const close = () => {
    reader.kill('SIGKILL');
    return ended;
  };
  try {
    await within(begun, budgetMs, `the topic ${topic} is read`);
  } catch (error) {
    await close();
    throw error;
  }
  return close;
}
