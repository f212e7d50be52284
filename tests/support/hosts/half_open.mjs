// Half-open connections: both ends believe in a connection that carries nothing any more. New ones between the same hosts work.

const TABLE = 'half_open';

/**
 * Lets the connections that a host has to a port of another one fall silent: nothing comes or goes, no RST. Answers how many. `own`: only
 * those that begin at these ports.
 */
export function silence(host, address, port, own = portsTo(host, address, port)) {
  return drop(host, own, `ip daddr ${address} tcp dport ${port} tcp sport`, `ip saddr ${address} tcp sport ${port} tcp dport`);
}

function portsTo(host, address, port) {
  const lines = host.run('ss', ['-tnH', 'state', 'established', 'dst', `${address}:${port}`]);
  return [...lines.matchAll(/:(\d+)\s+\S+:\d+/g)].map(([, at]) => at);
}

/** The same for those that others have to a port of this host. */
export function silenceServed(host, port) {
  const lines = host.run('ss', ['-tnH', 'state', 'established', 'sport', '=', `:${port}`]);
  const theirs = [...lines.matchAll(/\S+:\d+\s+\S+:(\d+)/g)].map(([, at]) => at);
  return drop(host, theirs, `tcp sport ${port} tcp dport`, `tcp dport ${port} tcp sport`);
}

/** Lets everything of a host through again. */
export function speak(host) {
  host.run('nft', ['-f', '-'], `table inet ${TABLE}\ndelete table inet ${TABLE}\n`);
}

function drop(host, ports, out, into) {
  if (ports.length === 0) return 0;
  const set = `{ ${ports.join(', ')} }`;
  host.run(
    'nft',
    ['-f', '-'],
    `table inet ${TABLE} {
  chain out { type filter hook output priority 0; ${out} ${set} drop; }
  chain into { type filter hook input priority 0; ${into} ${set} drop; }
}
`,
  );
  return ports.length;
}
