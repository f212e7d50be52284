// Proves or refutes the promises 1 to 3 of docs/guarantees.md, and those on recalls, receipts, rooms and signals, for one recorded run.
//
//     node tests/checker/check.mjs HISTORY
//
// # The model
//
// A run is a list of events (history.mjs), in the order in which one process, that of the clients, saw them. The checker knows nothing
// of how the cluster works. It reads the list twice: first everything that is a fact of the whole (facts.mjs), then event by event.
//
// **A conversation** is what the final history says: one message at each `seq` from 1 (or from where retention ends) to the last. All
// that was answered or delivered is held against it: the same `seq`, id, sender and body everywhere, nothing missing, nothing more.
//
// **A message** has a time: it was stored after its first attempt began, and before it was acknowledged or first received. Of
// a send that was not answered, or answered with `unavailable`, nothing is expected but that all its attempts are one message.
//
// **A member.** Clients do not learn at which `seq` a change took effect. A message that was stored before the change was asked for
// precedes it, one that was sent after its answer follows it, and so does everything below or above these in `seq`. Where that says
// nothing, everything is allowed (membership.mjs). A change that was not answered is never known to be over.
//
// **A device** is owed, of each conversation of its user: a first device everything, a further one what was sent after it
// was first `ready`. First is one that was `ready` before any other device of the user began to connect. What was under way is left
// open. It holds what it received, on any connection, and what it was acknowledged.
//
// **A connection** of a device gets a conversation from behind what the device has confirmed (or earlier: a crash may take back an
// `ack`), in `seq` order, without holes. It has its own sends by their acknowledgement, so these may be missing, as may what
// a `gap` names and what may not be the user's.
//
// **The end.** A connection that is `drained` had all the time it needed after the last send, so what is owed has come by then. A run
// lets every device connect once more for that; one that does not is held only to what it got.
//
// **Retention** takes a conversation from its beginning on, up to where the final history begins: so all that a `gap` may name is
// before that. What it took a connection was given, or was told of. The repetition of a send that it took is another message.
//
// Each promise has a file, which lists its rules: lost.mjs (1), order.mjs, strangers.mjs and gaps.mjs (2), once.mjs (3); and what goes
// with them: recalls.mjs, receipts.mjs, and live.mjs for rooms and signals. What is left out: `watch` (best effort), receipts of groups
// but their form, and a group whose history is open to later members.
//
// # Cost
//
// Memory: a few hundred bytes for each send and each stored message, a bit for each delivery, some numbers for each connection and
// conversation. A million events took 9 s and 120 MB.

import { pathToFileURL } from 'node:url';

import { Facts } from './facts.mjs';
import { Gaps } from './gaps.mjs';
import { eventsOf } from './history.mjs';
import { Live } from './live.mjs';
import { Lost } from './lost.mjs';
import { Once } from './once.mjs';
import { Order } from './order.mjs';
import { Recalls } from './recalls.mjs';
import { Receipts } from './receipts.mjs';
import { Report } from './report.mjs';
import { Strangers } from './strangers.mjs';

/**
 * Checks a history. `read` is called a few times, and answers its events each time: an array or an async iterable.
 *
 * @returns {Promise<Report>}
 */
export async function check(read) {
  const facts = await Facts.of(read());
  const report = new Report();
  const rules = [Lost, Order, Once, Strangers, Gaps, Recalls, Receipts, Live].map((Rule) => new Rule(facts, report));
  let line = 0;
  for await (const event of read()) {
    line += 1;
    for (const rule of rules) rule.observe(event, line);
  }
  for (const rule of rules) rule.finish();
  await report.attach(read());
  return report;
}

/** Checks the history in a file. */
export function checkFile(path) {
  return check(() => eventsOf(path));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const path = process.argv[2];
  if (!path) {
    console.error('node tests/checker/check.mjs HISTORY');
    process.exit(2);
  }
  const report = await checkFile(path);
  console.log(String(report));
  process.exit(report.holds ? 0 : 1);
}
