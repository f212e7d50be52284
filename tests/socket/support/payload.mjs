// Bodies of long-polling, as JavaScript writes them.

const SEPARATOR = '\x1e';

export function encodePayload(eio, packets) {
  if (eio === 4) return packets.join(SEPARATOR);
  // A length counts UTF-16 units, which is what `length` is.
  return packets.map((packet) => `${packet.length}:${packet}`).join('');
}

export function decodePayload(eio, body) {
  if (eio === 4) return body.split(SEPARATOR);
  const packets = [];
  for (let at = 0; at < body.length; ) {
    const colon = body.indexOf(':', at);
    const length = Number(body.slice(at, colon));
    if (colon < 0 || !Number.isInteger(length) || colon + 1 + length > body.length) {
      throw new Error(`no payload: ${body.slice(at, at + 80)}`);
    }
    packets.push(body.slice(colon + 1, colon + 1 + length));
    at = colon + 1 + length;
  }
  return packets;
}

/** Protocol 3's form with bytes: a kind, the length's decimal digits, 0xff, the data. A string is text, a buffer binary. */
export function encodeOctets(packets) {
  return Buffer.concat(
    packets.map((packet) => {
      const isText = typeof packet === 'string';
      const data = Buffer.from(packet);
      const digits = [...String(data.length)].map(Number);
      return Buffer.concat([Buffer.from([isText ? 0 : 1, ...digits, 0xff]), data]);
    }),
  );
}
