// What must be answered, and may be refused for a moment: while a disk, or what a fault has left, holds up the store.

import { until } from '../support/wait.mjs';

const BUDGET_MS = 30_000;
const FOR_NOW = ['unavailable', 'rate_limited'];

/** The business API's first answer that is not 5xx: `{status, body}`. */
export function answered(cluster, method, path, body) {
  const ask = async () => {
    const answer = await cluster.stat(method, path, body);
    return answer.status < 500 && answer;
  };
  return until(ask, BUDGET_MS, `${method} ${path} is answered`);
}

/** The first answer to a `sync` that is not a refusal for now; undefined where the connection has ended. */
export async function synced(connection, request) {
  const ask = async () => {
    const page = await connection.ask('sync', request);
    return (connection.ended || (page && !FOR_NOW.includes(page.error?.code))) && { page };
  };
  return (await until(ask, BUDGET_MS, `a sync of ${request.conversation} is answered`)).page;
}
