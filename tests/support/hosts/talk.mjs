// One question to a server over TCP, and what it answers.

import { connect } from 'node:net';

const ANSWER_MS = 1_500;

/** Answers what came until `end` was in it or the server closed; rejects where neither happens in time. `question` is text or bytes. */
export function talk(address, port, question, end) {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, address, () => socket.write(question));
    const timer = setTimeout(() => done(reject, new Error(`${address}:${port} did not answer within ${ANSWER_MS} ms`)), ANSWER_MS);
    const done = (settle, value) => {
      clearTimeout(timer);
      socket.destroy();
      settle(value);
    };
    socket.on('data', (bytes) => {
      answer += bytes.toString('latin1');
      if (end !== undefined && answer.includes(end)) done(resolve, answer);
    });
    socket.on('close', () => done(resolve, answer));
    socket.on('error', (error) => done(reject, error));
  });
}
