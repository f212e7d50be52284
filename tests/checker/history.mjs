// The recorded history of a run: one JSON object a line, in the order in which one process saw the things happen.
//
// A line's number (from 1) is its time: what stands later happened later, as seen by the clients. `is` says what it was:
//
//   connect     connection, user, device             a device begins to connect; `connection` is the run's own number for it
//   ready       connection, node?                    the server's `ready` has come; from which node
//   disconnect  connection, why                      the connection is over, whoever ended it
//   send        call, connection, user, device,      a `send` begins, whose answer has the same `call`; `connection` and `device`
//               conversation, cid, body              are null for the business API. `body` is a digest, here and everywhere
//   sent        call, ok, …                          its answer. ok: true with seq, id, sent_at, duplicate; ok: false with code;
//                                                    ok: null, or no such line: nobody knows
//   receive     connection, conversation, seq, id,   a `message` event
//               from, cid, body, recalled_at?        (`recalled_at` where it is a tombstone, also in `stored`)
//   ack         connection, conversation, seq        the device is about to say that it holds everything up to `seq`
//   acked       connection, conversation, seq        … and was answered
//   gap         connection, conversation,            a `gap` event
//               from_seq, to_seq
//   change      call, group, add or remove: [user]   a change of members begins; `group` without the "g:"
//   changed     call, ok                             its answer: true, false (surely not done) or null (nobody knows)
//   recall      call, connection, conversation, seq  a message is to be taken back
//   recalled    connection, conversation, seq, id    a `recalled` event
//   read        call, connection, conversation, seq  a user has read so far
//   receipt     connection, conversation, user,      a `receipt` event
//               read_seq
//   enter       call, connection, room               a `join` of a room begins
//   exit        call, connection, room               a `leave` of a room begins
//   say         call, connection, room, mark         a `send` to a room begins; its `mark` no other one has
//   hear        connection, room, id, from, mark     a `message` event of a room
//   signal      call, connection, to, mark           a `signal` begins; `to` as the client names it
//   sign        connection, to, from, mark           a `signal` event
//   answer      call, ok, code?, id?                 the answer to one of recall, read, enter, exit, say and signal. ok: true, false, or
//                                                    null, or no such line: nobody knows
//   drained     connection                           nothing more is sent, and this connection had all the time it needed
//   stored      conversation, seq, id, from, cid,    the final history, as the store has it
//               body, sent_at
//   history     conversation, last_seq, trimmed?,    … is complete. Up to `trimmed` (0 where it is absent) retention took it;
//               kept?                                the newest `kept` it may not take

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
  recall: ['call', 'connection', 'conversation', 'seq'],
  recalled: ['connection', 'conversation', 'seq', 'id'],
  read: ['call', 'connection', 'conversation', 'seq'],
  receipt: ['connection', 'conversation', 'user', 'read_seq'],
  enter: ['call', 'connection', 'room'],
  exit: ['call', 'connection', 'room'],
  say: ['call', 'connection', 'room', 'mark'],
  hear: ['connection', 'room', 'id', 'from', 'mark'],
  signal: ['call', 'connection', 'to', 'mark'],
  sign: ['connection', 'to', 'from', 'mark'],
  answer: ['call', 'ok'],
  drained: ['connection'],
  stored: ['conversation', 'seq', 'id', 'from', 'body', 'sent_at'],
  history: ['conversation', 'last_seq'],
};

/** A digest of a message's body: what the history keeps of it. */
export function digest(body) {
  return createHash('sha1').update(JSON.stringify(body) ?? '').digest('base64url').slice(0, 12);
}

/** The digest of no body: what a recalled message has. */
export const NOTHING = digest(null);

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
