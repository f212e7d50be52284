// socket.io-client 3: protocol 5.

import v3 from 'socket.io-client-v3';

import { OfficialSocket } from './official.mjs';

export class V3Socket extends OfficialSocket {
  constructor(url, ticket, options) {
    super((all) => v3.io(url, { auth: ticket === undefined ? {} : { ticket }, ...all }), options);
  }
}
