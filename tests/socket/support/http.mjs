// One request over a connection of its own, so that no test depends on what an earlier one left behind.

import { request as start } from 'node:http';

import { within } from '../../support/wait.mjs';
import { ANSWER_MS } from './queue.mjs';

/** Answers `{status, headers, body}`; `body` is decoded as UTF-8. Rejects where the connection ends without an answer. */
export function request(url, { method = 'GET', headers = {}, body, signal, budgetMs = ANSWER_MS } = {}) {
  const answer = new Promise((resolve, reject) => {
    const outgoing = start(url, { method, headers, agent: false, signal }, (incoming) => {
      const chunks = [];
      incoming.on('data', (chunk) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        resolve({ status: incoming.statusCode, headers: incoming.headers, body: Buffer.concat(chunks).toString() });
      });
    });
    // A server may refuse a body before it has read it; the answer counts, not the broken pipe.
    outgoing.on('error', reject);
    outgoing.end(body);
  });
  return within(answer, budgetMs, `${method} ${url} is answered`);
}

/** A refusal's status and JSON: `{status, code, message}`. */
export async function refusal(url, options) {
  const { status, headers, body } = await request(url, options);
  if (!headers['content-type']?.startsWith('application/json')) {
    throw new Error(`no JSON: ${status} ${headers['content-type']} ${body}`);
  }
  return { status, ...JSON.parse(body) };
}

/** The address of an endpoint with these query parameters; undefined ones are left out. */
export function endpoint(echo, query) {
  const kept = Object.entries(query).filter(([, value]) => value !== undefined);
  return `${echo.url}/socket.io/?${new URLSearchParams(kept)}`;
}
