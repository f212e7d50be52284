// socket.io-client 4: protocol 5.

import { io } from 'socket.io-client';

import { OfficialSocket } from './official.mjs';

export class V4Socket extends OfficialSocket {
  constructor(url, ticket, options) {
    super((all) => io(url, { auth: ticket === undefined ? {} : { ticket }, ...all }), options);
  }

  ask(event, payload, budgetMs) {
    return this.raw.timeout(budgetMs).emitWithAck(event, payload);
  }
}
