// Several hosts on one machine: network namespaces, each with an address of its own, on one switch. Needs root.
//
// The switch is a bridge in a namespace as well, so that nothing of this machine's own network is changed but for one link: the test itself
// (its clients, and its own looks at the servers) is a further host, `outside`, which is the namespace that it runs in.
//
// Names carry the process id of the test (addresses.mjs). `Network.create` removes what tests that were killed have left behind; `remove`
// and the end of the process, also by Ctrl-C, remove this one's.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';

import { linkOf, namespaceOf, ownerOf, subnetFor, whyTaken } from './addresses.mjs';
import { Rules } from './rules.mjs';

const NAMESPACES = '/run/netns';
const OUTSIDE = 254;
// Outgoing connections stay away from the ports at which nodes listen.
const OUTGOING = 'echo 10000 19999 >/proc/sys/net/ipv4/ip_local_port_range';

/** Why there can be no hosts here, in words for whoever runs the test; undefined where there can. */
export function whyNoHosts() {
  if (process.getuid() !== 0) return 'network namespaces need root';
  for (const [tool, of] of [['ip', 'iproute2'], ['tc', 'iproute2'], ['nft', 'nftables'], ['nsenter', 'util-linux']]) {
    if (!run('sh', ['-c', `command -v ${tool}`], { fails: true })) return `${tool} is missing (Debian: apt-get install ${of})`;
  }
  if (run('unshare', ['--net', 'true'], { fails: true }) === undefined) return 'this kernel, or the container, allows no network namespaces';
  if (run('unshare', ['--net', 'sh', '-c', OUTGOING], { fails: true }) === undefined) {
    return '/proc/sys is read-only here, as in a container without --privileged, and the hosts need settings of their own there';
  }
  return whyTaken(routes());
}

export class Network {
  /** name → Host */
  hosts = new Map();
  /** What is dropped and slowed down now. */
  rules = new Rules(this);
  #pid = process.pid;

  /** A switch and hosts of these names. */
  static create(names) {
    const why = whyNoHosts();
    if (why) throw new Error(`no hosts can be made: ${why}`);
    sweep();
    const network = new Network();
    process.once('exit', network.#onExit);
    try {
      network.#make(names);
    } catch (error) {
      network.remove();
      throw error;
    }
    return network;
  }

  /** The address of the test itself. */
  get outside() {
    return `${this.subnet}.${OUTSIDE}`;
  }

  host(name) {
    return this.hosts.get(name);
  }

  /** Ends whatever still runs on the hosts, and removes them. */
  remove() {
    process.removeListener('exit', this.#onExit);
    for (const namespace of [...this.hosts.values()].map((host) => host.namespace)) erase(namespace);
    erase(this.#switch);
  }

  get #switch() {
    return namespaceOf(this.#pid, 'switch');
  }

  #make(names) {
    this.subnet = subnetFor(this.#pid, routes());
    const far = linkOf(this.#pid);
    ip('netns', 'add', this.#switch);
    within(this.#switch, 'ip', 'link', 'add', 'name', 'bridge', 'type', 'bridge', 'forward_delay', '0');
    within(this.#switch, 'ip', 'link', 'set', 'bridge', 'up');
    ip('link', 'add', 'name', far, 'type', 'veth', 'peer', 'name', 'outside', 'netns', this.#switch);
    within(this.#switch, 'ip', 'link', 'set', 'outside', 'master', 'bridge', 'up');
    ip('addr', 'add', `${this.subnet}.${OUTSIDE}/24`, 'dev', far);
    ip('link', 'set', far, 'up');
    names.forEach((name, index) => this.#add(name, index + 1));
  }

  #add(name, number) {
    const namespace = namespaceOf(this.#pid, name);
    const address = `${this.subnet}.${number}`;
    const link = `to-${name}`;
    this.hosts.set(name, new Host(name, address, namespace));
    ip('netns', 'add', namespace);
    within(this.#switch, 'ip', 'link', 'add', 'name', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    within(this.#switch, 'ip', 'link', 'set', link, 'master', 'bridge', 'up');
    within(namespace, 'ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    within(namespace, 'ip', 'link', 'set', 'eth0', 'up');
    within(namespace, 'ip', 'link', 'set', 'lo', 'up');
    within(namespace, 'sh', '-c', OUTGOING);
  }

  #onExit = () => this.remove();
}

export class Host {
  constructor(name, address, namespace) {
    Object.assign(this, { name, address, namespace });
  }

  /** A command line that runs a command there; it dies with the test. */
  command(command, ...args) {
    return ['nsenter', [`--net=${NAMESPACES}/${this.namespace}`, 'setpriv', '--pdeathsig', 'KILL', '--', command, ...args]];
  }

  /** Runs a short command there; answers what it prints. */
  run(command, args, input) {
    return run('nsenter', [`--net=${NAMESPACES}/${this.namespace}`, command, ...args], { input });
  }
}

function ip(...args) {
  return run('ip', args);
}

function within(namespace, command, ...args) {
  return run('nsenter', [`--net=${NAMESPACES}/${namespace}`, command, ...args]);
}

/** Kills what runs in a namespace, and deletes it with its links. */
function erase(namespace) {
  // The kernel takes the links of a namespace away some time after it; the next test makes this one again.
  const owner = ownerOf(namespace);
  if (namespace === namespaceOf(owner, 'switch')) run('ip', ['link', 'del', linkOf(owner)], { fails: true });
  const pids = run('ip', ['netns', 'pids', namespace], { fails: true }) ?? '';
  for (const pid of pids.split(/\s+/).filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
  run('ip', ['netns', 'del', namespace], { fails: true });
}

/** Removes the hosts of tests that are no more, and nothing else. */
function sweep() {
  if (!existsSync(NAMESPACES)) return;
  for (const name of readdirSync(NAMESPACES)) {
    const pid = ownerOf(name);
    if (pid !== undefined && !isNode(pid)) erase(name);
  }
}

/** Whether this process id still is one of Node.js. */
function isNode(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('node');
  } catch {
    return false;
  }
}

/** The IPv4 routes of this machine. */
function routes() {
  return JSON.parse(run('ip', ['-4', '-json', 'route', 'show', 'table', 'all']) || '[]');
}

/** Ctrl-C at the terminal goes to all that belong to it: what is under way for a test is to be finished, so it does not. */
function run(command, args, { input, fails = false } = {}) {
  try {
    return execFileSync('setsid', ['--wait', command, ...args], { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  } catch (error) {
    if (fails) return undefined;
    throw new Error(`${command} ${args.join(' ')}: ${error.stderr || error.message}`);
  }
}
