// What a process holds, as Linux tells it.

import { readFileSync, readdirSync } from 'node:fs';

/** The resident memory of a process, in bytes. */
export function rssOf(pid) {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(kilobytes) * 1024;
}

/** How many descriptors a process has open: a connection is one. */
export function descriptorsOf(pid) {
  return readdirSync(`/proc/${pid}/fd`).length;
}
