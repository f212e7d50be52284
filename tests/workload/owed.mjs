// What the devices wait for at the end of a run: as far as it is certain, so that nobody waits for what need not come. Whose connection
// has ended meanwhile waits no more, and is not judged by it.

import { directConversation } from '../support/client.mjs';
import { synced } from './answers.mjs';

// So many messages at the end of a conversation are looked at to find one that a connection has not sent itself.
const LATEST = 100;

/** Of each conversation of a user the last message that their devices may see: `[{has}]`, functions that say whether it has come. */
export async function wantedMessages(world, user) {
  const devices = connected(user);
  if (devices.length === 0) return [];
  const wanted = [];
  for (const conversation of world.conversations) {
    const page = await synced(devices[0].connection, { conversation, limit: LATEST });
    if (!page?.ok) continue;
    for (const device of devices) {
      const { connection } = device;
      const others = page.messages.filter((message) => message.from !== user.name || !connection.cids.has(message.cid));
      const last = others.at(-1);
      // A further device is not owed what came before it.
      if (!last || (!device.isFirst && last.sent_at < device.firstReady.at)) continue;
      const has = () =>
        (connection.last.get(conversation) ?? 0) >= last.seq || (device.confirmed.get(conversation) ?? 0) >= last.seq;
      wanted.push(waiting(device, has));
    }
  }
  return wanted;
}

/** What was taken back, for those who have it, and how far the other one has read. */
export async function wantedChanges(world) {
  return [...recalls(world), ...(await reads(world))];
}

function recalls(world) {
  const wanted = [];
  for (const { conversation, seq, began } of world.recalls) {
    if (seq <= (world.trimmed.get(conversation) ?? 0)) continue;
    const group = world.groups.find(({ name }) => conversation === `g:${name}`);
    const place = `${conversation} ${seq}`;
    for (const device of world.users.flatMap(connected)) {
      if (!device.given.has(place) || (group && !(began && group.hasKept(device.user.name, began)))) continue;
      wanted.push(waiting(device, () => device.recalled.has(place)));
    }
  }
  return wanted;
}

/** Whoever wrote something after what they have read is left out: that says it too. */
async function reads(world) {
  const furthest = new Map();
  for (const read of world.reads) {
    const key = `${read.conversation} ${read.user.name}`;
    if (read.conversation.startsWith('u:') && read.seq > (furthest.get(key)?.seq ?? 0)) furthest.set(key, read);
  }
  const wanted = [];
  for (const [key, { conversation, seq, began, user }] of furthest) {
    const other = world.users.find((each) => each !== user && conversation === directConversation(user.name, each.name));
    const [asking] = other ? connected(other) : [];
    const page = asking && (await synced(asking.connection, { conversation, after: seq - 1, limit: LATEST }));
    if (!page?.ok || page.more || page.messages.some(({ from }) => from === user.name)) continue;
    for (const device of connected(other)) {
      if (device.firstReady.line < began) wanted.push(waiting(device, () => device.receipts.get(key) >= seq));
    }
  }
  return wanted;
}

function waiting({ connection }, has) {
  return { has: () => connection.ended || has() };
}

/** The devices of a user that are there. */
function connected(user) {
  return user.devices.filter(({ connection }) => connection && !connection.ended);
}
