// Signs tokens and tickets as a back end or the cluster would, for tests that need crooked ones.

import { createHmac } from 'node:crypto';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A compact JWT, HS256. */
export function sign(claims, { kid, secret }, header = {}) {
  const signed = `${encode({ alg: 'HS256', typ: 'JWT', kid, ...header })}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** What a JWT says: `{header, claims}`. The signature is not looked at. */
export function decode(token) {
  const [header, claims] = token.split('.').map((part) => Buffer.from(part, 'base64url').toString());
  return { header: JSON.parse(header), claims: JSON.parse(claims) };
}

/** Seconds since the epoch, `offset` from now. */
export function inSeconds(offset) {
  return Math.floor(Date.now() / 1000) + offset;
}
