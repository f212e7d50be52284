// Which addresses and names the hosts have. Addresses come from 198.18.0.0/15, which RFC 2544 sets aside for trials of networks: nobody's
// network should be there. A /24 for each test that runs.

const RANGE = '198.18.0.0/15';
const SUBNETS = 512;
const PREFIX = 'phx';
const NAMESPACE = /^phx-(\d+)-(switch|outside|[a-z]+)$/;
const LINK = /^phx\d+$/;
// What `ip` calls a link that went while it was looking.
const GONE = /^if\d+$/;
// A default route in two halves, as VPNs write it, is a default route.
const DEFAULT_BITS = 1;

/** The name of a namespace of a test, by the test's process id. */
export function namespaceOf(pid, name) {
  const made = `${PREFIX}-${pid}-${name}`;
  if (!NAMESPACE.test(made)) throw new Error(`a host's name is of lower-case letters, not ${name}`);
  return made;
}

/** The process id of the test that a namespace is of; undefined for any that is none of ours. */
export function ownerOf(namespace) {
  const [, pid] = NAMESPACE.exec(namespace) ?? [];
  return pid === undefined ? undefined : Number(pid);
}

/** The name of the link by which a test is on its switch. */
export function linkOf(pid) {
  return `${PREFIX}${pid}`;
}

/**
 * Why the addresses cannot be used, in words; undefined where they can.
 *
 * @param {{dst: string, dev?: string}[]} routes as `ip -json route show table all` has them
 */
export function whyTaken(routes) {
  const range = span(RANGE);
  const theirs = routes.find(({ dst, dev = '' }) => {
    const { first, last, bits } = span(dst);
    return !LINK.test(dev) && !GONE.test(dev) && bits > DEFAULT_BITS && first <= range.last && range.first <= last;
  });
  if (!theirs) return undefined;
  const by = theirs.dev ? ` by ${theirs.dev}` : '';
  return `this machine has a route to ${theirs.dst}${by}, and the hosts' addresses are of ${RANGE}`;
}

/** The first three numbers of a /24 that no test beside this one has. */
export function subnetFor(pid, routes) {
  const taken = new Set(routes.filter(({ dev = '' }) => LINK.test(dev)).map(({ dst }) => span(dst).first >>> 8));
  const { first } = span(RANGE);
  for (let number = 0; number < SUBNETS; number += 1) {
    const subnet = (first >>> 8) + ((pid + number) % SUBNETS);
    if (!taken.has(subnet)) return [subnet >>> 16, (subnet >>> 8) & 255, subnet & 255].join('.');
  }
  throw new Error(`all of ${RANGE} is in use by other tests`);
}

/** The first and the last address of `1.2.3.0/24`, `1.2.3.4` or `default`, as numbers. */
function span(destination) {
  const [address, length = '32'] = destination === 'default' ? ['0.0.0.0', '0'] : destination.split('/');
  const bits = Number(length);
  const first = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  return { first, last: first + 2 ** (32 - bits) - 1, bits };
}
