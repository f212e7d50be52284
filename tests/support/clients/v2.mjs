// socket.io-client 2: protocol 4. The ticket goes into the query, and a refusal comes as `error`.

import io from 'socket.io-client-v2';

import { OfficialSocket } from './official.mjs';

export class V2Socket extends OfficialSocket {
  constructor(url, ticket, options) {
    super((all) => io(url, { query: ticket === undefined ? {} : { ticket }, ...all }), options);
  }

  on(name, listener) {
    super.on(name, listener);
    if (name === 'connect_error') this.raw.on('error', (error) => listener(refusal(error)));
  }

  once(name, listener) {
    super.once(name, listener);
    if (name === 'connect_error') this.raw.once('error', (error) => listener(refusal(error)));
  }

  /** It has none: what comes is heard where the client itself takes it apart. */
  onAny(listener) {
    const { raw } = this;
    const take = raw.onevent;
    raw.onevent = (packet) => {
      listener(...packet.data);
      take.call(raw, packet);
    };
  }
}

/** What the other versions make of it; the server's words come as a text or an object. */
function refusal(error) {
  if (error instanceof Error) return error;
  const data = typeof error === 'string' ? JSON.parse(error) : error;
  return Object.assign(new Error(data.message ?? data.code), { data });
}
