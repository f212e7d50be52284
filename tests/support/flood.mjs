// A client that asks as fast as it can, as a program of its own: `node flood.mjs URL TICKET USER` sends messages to USER until it is told
// to end. It tells each second how many were stored and how many refused, a line of JSON each.

import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';

import { WebSocket } from 'ws';

/** What waits to be written, in bytes, before it goes on. */
const ENOUGH = 1 << 20;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [url, ticket, user] = process.argv.slice(2);
  // What is judged is the spear, not who gets the processor.
  setPriority(10);
  flood(url, ticket, user);
}

function flood(url, ticket, user) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
  const counts = { stored: 0, refused: 0, other: 0 };
  let asked = 0;
  const ask = () => {
    for (let round = 0; round < 200 && socket.bufferedAmount < ENOUGH; round += 1) {
      asked += 1;
      socket.send(`42${asked}["send",{"to":{"user":"${user}"},"body":"more"}]`);
    }
    setImmediate(ask);
  };
  socket.on('message', (data) => {
    const text = data.toString();
    if (text.startsWith('0')) socket.send(`40${JSON.stringify({ ticket })}`);
    else if (text === '2') socket.send('3');
    else if (text.startsWith('42["ready"')) ask();
    else if (text.startsWith('43')) counts[text.includes('"ok":true') ? 'stored' : text.includes('"rate_limited"') ? 'refused' : 'other'] += 1;
  });
  socket.on('close', () => process.exit(1));
  socket.on('error', (error) => {
    console.error(error.message);
    process.exit(1);
  });
  setInterval(() => console.log(JSON.stringify(counts)), 200);
}
