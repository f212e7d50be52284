// The recorded history of a run: one JSON object a line, in the order in which one process saw the things happen.
//
// A line's number (from 1) is its time: what stands later happened later, as seen by the clients. `is` says what it was:
//
//   connect     connection, user, device             a device begins to connect; `connection` is the run's own number for it
//   ready       connection                           the server's `ready` has come
//   disconnect  connection, why                      the connection is over, whoever ended it
//   send        call, connection, user, device,      a `send` begins, whose answer has the same `call`; `connection` and `device`
//               conversation, cid, body              are null for the business API. `body` is a digest, here and everywhere
//   sent        call, ok, …                          its answer. ok: true with seq, id, sent_at, duplicate; ok: false with code;
//                                                    ok: null, or no such line: nobody knows
//   receive     connection, conversation, seq, id,   a `message` event
//               from, cid, body
//   ack         connection, conversation, seq        the device is about to say that it holds everything up to `seq`
//   acked       connection, conversation, seq        … and was answered
//   gap         connection, conversation,            a `gap` event
//               from_seq, to_seq
//   change      call, group, add or remove: [user]   a change of members begins; `group` without the "g:"
//   changed     call, ok                             its answer: true, false (surely not done) or null (nobody knows)
//   drained     connection                           nothing more is sent, and this connection had all the time it needed
//   stored      conversation, seq, id, from, cid,    the final history, as the store has it
//               body, sent_at
//   history     conversation, last_seq, trimmed?     … is complete. Up to `trimmed` (0 where it is absent) retention took it

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

const FIELDS = {
  connect: ['connection', 'user', 'device'],
  ready: ['connection'],
  disconnect: ['connection'],
  send: ['call', 'connection', 'user', 'device', 'conversation', 'cid', 'body'],
  sent: ['call', 'ok'],
  receive: ['connection', 'conversation', 'seq', 'id', 'from', 'body'],
  ack: ['connection', 'conversation', 'seq'],
  acked: ['connection', 'conversation', 'seq'],
  gap: ['connection', 'conversation', 'from_seq', 'to_seq'],
  change: ['call', 'group'],
  changed: ['call', 'ok'],
  drained: ['connection'],
  stored: ['conversation', 'seq', 'id', 'from', 'body', 'sent_at'],
  history: ['conversation', 'last_seq'],
};

/** A digest of a message's body: what the history keeps of it. */
export function digest(body) {
  return createHash('sha1').update(JSON.stringify(body) ?? '').digest('base64url').slice(0, 12);
}

/** The events of a file, one after the other; never more than a few lines in memory. */
export async function* eventsOf(path) {
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    number += 1;
    let event;
    try {
      event = JSON.parse(line);
    } catch (error) {
      throw new Error(`line ${number} of ${path} is not JSON: ${error.message}`);
    }
    yield event;
  }
}

/** Throws where an event is not of the form above: a history that is recorded wrongly proves nothing. */
export function validate(event, line) {
  const fields = FIELDS[event.is];
  if (!fields) throw new Error(`line ${line}: there is no kind ${JSON.stringify(event.is)}`);
  const missing = fields.filter((field) => event[field] === undefined);
  if (missing.length > 0) throw new Error(`line ${line}: ${event.is} needs ${missing.join(', ')}`);
}
