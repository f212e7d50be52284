// What goes wrong between hosts: packets that are dropped (nftables, in the namespace of the host that they reach), and a thin link
// (tc tbf: what does not fit through waits, which is how delay comes about, and what would wait for longer than the queue is long is
// dropped; the kernel may have no netem).
//
// A cut drops without a word: no RST, no ICMP, so both ends are left with half-open connections. Each rule has an owner, and goes with it.

const RATE = '256kbit';
const BURST = '4kb';
const QUEUE = '400ms';

export class Rules {
  #network;
  /** owner → `[{from, to, percent}]`; names of hosts, or `outside` */
  #drops = new Map();
  /** owner → name of a host */
  #thin = new Map();

  constructor(network) {
    this.#network = network;
  }

  /**
   * Drops what goes from some hosts to others, and the other way round unless `oneWay`.
   *
   * @param {{percent?: number, oneWay?: boolean}} options `percent`: so many packets of a hundred
   */
  drop(owner, from, to, { percent = 100, oneWay = false } = {}) {
    const drops = from.flatMap((near) => to.map((far) => ({ from: near, to: far, percent })));
    const back = oneWay ? [] : drops.map((drop) => ({ ...drop, from: drop.to, to: drop.from }));
    const touched = [...drops, ...back];
    this.#drops.set(owner, touched);
    this.#apply(touched);
  }

  /** Lets a host send through a thin link. */
  slow(owner, name) {
    this.#thin.set(owner, name);
    this.#network.host(name).run('tc', ['qdisc', 'replace', 'dev', 'eth0', 'root', 'tbf', 'rate', RATE, 'burst', BURST, 'latency', QUEUE]);
  }

  /** Takes back what an owner has done. */
  heal(owner) {
    const drops = this.#drops.get(owner) ?? [];
    this.#drops.delete(owner);
    this.#apply(drops);
    const thin = this.#thin.get(owner);
    this.#thin.delete(owner);
    if (thin && ![...this.#thin.values()].includes(thin)) this.#network.host(thin).run('tc', ['qdisc', 'del', 'dev', 'eth0', 'root']);
  }

  /** Writes the tables of the hosts that are named in these drops anew, each in one step. */
  #apply(touched) {
    const names = new Set(touched.flatMap(({ from, to }) => [from, to]).filter((name) => name !== 'outside'));
    for (const name of names) this.#network.host(name).run('nft', ['-f', '-'], this.#table(name));
  }

  #table(name) {
    const address = (other) => (other === 'outside' ? this.#network.outside : this.#network.host(other).address);
    const chance = (percent) => (percent < 100 ? `numgen random mod 100 < ${percent} ` : '');
    const all = [...this.#drops.values()].flat();
    const into = all.filter(({ to }) => to === name).map(({ from, percent }) => `ip saddr ${address(from)} ${chance(percent)}drop; `);
    // The test's own namespace gets no rules: what goes to it is dropped where it leaves.
    const out = all
      .filter(({ from, to }) => from === name && to === 'outside')
      .map(({ percent }) => `ip daddr ${address('outside')} ${chance(percent)}drop; `);
    return `table inet fault
delete table inet fault
table inet fault {
  chain out { type filter hook output priority 0; ${out.join('')}}
  chain into { type filter hook input priority 0; ${into.join('')}}
}
`;
  }
}
