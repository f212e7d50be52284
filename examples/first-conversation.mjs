// A first conversation: two users on different spears talk through the official socket.io client.
//
//   bin/start.sh                              # the cluster, once
//   node examples/first-conversation.mjs      # another cluster: … http://host:20000

import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';

const ticketUrl = process.argv[2] ?? 'http://127.0.0.1:20000';

const { io } = clientLibrary();

/** The official client: installed here, or the one that the monitor's page was built with. */
function clientLibrary() {
  for (const place of ['./', '../minions-ui/web/']) {
    try {
      return createRequire(new URL(place, import.meta.url))('socket.io-client');
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  return stop('The official socket.io client is missing. Install it with: npm install --prefix examples');
}

/** Step 1: a token. The user's own back end signs it, as here; the embedded cluster helps out on loopback. */
async function token(user) {
  const secret = process.env.PHALANX__JWT__HS256_SECRET;
  if (!secret) return (await post('/dev/token', { user })).token;
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 600;
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, exp })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** Step 2: a ticket says which spear to connect to, and is good for one connection. */
async function ticket(user) {
  return post('/v1/tickets', {}, { authorization: `Bearer ${await token(user)}` });
}

/** Step 3: the unmodified client. The ticket serves once, so the client's own reconnection is off. */
function connect(user, { spear, ticket }) {
  return new Promise((resolve, reject) => {
    const socket = io(spear.url, { auth: { ticket }, reconnection: false });
    socket.once('ready', () => resolve(socket));
    socket.once('connect_error', (error) => reject(new Error(`${user}: ${error.data?.code ?? error.message}`)));
  });
}

/** A name that belongs to another spear than `spear`. Where a user lives depends on the name alone. */
async function somebodyElsewhere(spear) {
  for (const name of ['bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'ivan', 'judy', 'mallory']) {
    const found = await ticket(name);
    if (found.spear.id !== spear.id) return [name, found];
  }
  return stop('Everybody belongs to the same spear: does the cluster have two?');
}

async function post(path, body, headers = {}) {
  const response = await fetch(ticketUrl + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  }).catch(() => stop(`Nobody answers at ${ticketUrl}. Start the cluster with: bin/start.sh`));
  const answer = await response.json();
  if (path === '/dev/token' && response.status === 404) {
    stop("This cluster signs no tokens. Give the example the secret of it, for the profile test2: set -a; . data/test2/secrets.env; set +a");
  }
  if (!response.ok) stop(`${path} answered ${response.status} ${answer.code}: ${answer.detail}`);
  return answer;
}

function stop(message) {
  console.error(message);
  process.exit(1);
}

/** Collects messages by id, and confirms each: this device need not be given it again. */
function inbox(socket) {
  const messages = new Map();
  const waiting = new Map();
  socket.on('message', (message) => {
    messages.set(message.id, message);
    waiting.get(message.id)?.(message);
    socket.emit('ack', { conversation: message.conversation, seq: message.seq });
  });
  return (id) => messages.get(id) ?? new Promise((resolve) => waiting.set(id, resolve));
}

/** Sends, waits until the message is stored, and until it has arrived. */
async function say(from, arrivedAt, name, body) {
  const answer = await from.emitWithAck('send', { to: { user: name }, body });
  if (!answer.ok) stop(`not sent: ${answer.error.code}: ${answer.error.message}`);
  console.log(`   stored   number ${answer.seq} of ${answer.conversation}, id ${answer.id}`);
  const message = await arrivedAt(answer.id);
  console.log(`   arrived  ${message.from} says: ${JSON.stringify(message.body)}`);
}

const alice = 'alice';
const forAlice = await ticket(alice);
const [bob, forBob] = await somebodyElsewhere(forAlice.spear);
console.log(`1. ${alice} has a ticket for ${forAlice.spear.id} at ${forAlice.spear.url}`);
console.log(`   ${bob} has a ticket for ${forBob.spear.id} at ${forBob.spear.url}`);

const [a, b] = await Promise.all([connect(alice, forAlice), connect(bob, forBob)]);
console.log('2. Both are connected.');
const [atAlice, atBob] = [inbox(a), inbox(b)];

console.log(`3. ${alice} writes to ${bob}:`);
await say(a, atBob, bob, 'Hello from the other spear!');
console.log(`4. ${bob} answers:`);
await say(b, atAlice, alice, { text: 'A body is any JSON.', mood: 'curious' });

const conversation = `u:${[alice, bob].sort().join(':')}`;
const { messages } = await a.emitWithAck('sync', { conversation, limit: 2 });
console.log('5. Both messages stand in the history:');
for (const { seq, from, body } of messages) console.log(`   ${seq}. ${from}: ${JSON.stringify(body)}`);

a.disconnect();
b.disconnect();
