// Several hosts on one machine: network namespaces, each with an address of its own, on one switch. Needs root.
//
// The switch is a bridge in a namespace as well, so that nothing of this machine's own network is changed but for one link: the test itself
// (its clients, and its own looks at the servers) is a further host, `outside`, which is the namespace that it runs in.
//
// Names carry the process id of the test. `Network.create` removes what tests that were killed have left behind; `remove` and the end of
// the process, also by Ctrl-C, remove this one's.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';

import { Rules } from './rules.mjs';

const PREFIX = 'phx';
const NAMESPACES = '/run/netns';
const OUTSIDE = 254;
// Subnets are taken from the process id: 10.64.0.0/24 to 10.127.255.0/24.
const SUBNETS = 64;
const OUTGOING = '10000 19999';

/** Why there can be no hosts here, in words for whoever runs the test; undefined where there can. */
export function whyNoHosts() {
  if (process.getuid() !== 0) return 'network namespaces need root';
  for (const [tool, of] of [['ip', 'iproute2'], ['tc', 'iproute2'], ['nft', 'nftables'], ['nsenter', 'util-linux']]) {
    if (!run('sh', ['-c', `command -v ${tool}`], { fails: true })) return `${tool} is missing (Debian: apt-get install ${of})`;
  }
  if (run('unshare', ['--net', 'true'], { fails: true }) === undefined) return 'this kernel, or the container, allows no network namespaces';
  return undefined;
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
    network.subnet = `10.${64 + ((network.#pid >> 8) % SUBNETS)}.${network.#pid & 255}`;
    const far = `${PREFIX}${network.#pid}`;
    ip('netns', 'add', network.#switch);
    within(network.#switch, 'ip', 'link', 'add', 'name', 'bridge', 'type', 'bridge', 'forward_delay', '0');
    within(network.#switch, 'ip', 'link', 'set', 'bridge', 'up');
    ip('link', 'add', 'name', far, 'type', 'veth', 'peer', 'name', 'outside', 'netns', network.#switch);
    within(network.#switch, 'ip', 'link', 'set', 'outside', 'master', 'bridge', 'up');
    ip('addr', 'add', `${network.subnet}.${OUTSIDE}/24`, 'dev', far);
    ip('link', 'set', far, 'up');
    names.forEach((name, index) => network.#add(name, index + 1));
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
    return `${PREFIX}-${this.#pid}-switch`;
  }

  #add(name, number) {
    const namespace = `${PREFIX}-${this.#pid}-${name}`;
    const address = `${this.subnet}.${number}`;
    const link = `to-${name}`;
    this.hosts.set(name, new Host(name, address, namespace));
    ip('netns', 'add', namespace);
    within(this.#switch, 'ip', 'link', 'add', 'name', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    within(this.#switch, 'ip', 'link', 'set', link, 'master', 'bridge', 'up');
    within(namespace, 'ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0');
    within(namespace, 'ip', 'link', 'set', 'eth0', 'up');
    within(namespace, 'ip', 'link', 'set', 'lo', 'up');
    // Outgoing connections stay away from the ports at which nodes listen.
    within(namespace, 'sh', '-c', `echo ${OUTGOING} >/proc/sys/net/ipv4/ip_local_port_range`);
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

/** Removes the hosts of tests that are no more. */
function sweep() {
  if (!existsSync(NAMESPACES)) return;
  for (const name of readdirSync(NAMESPACES)) {
    const [prefix, pid] = name.split('-');
    if (prefix === PREFIX && !isNode(pid)) erase(name);
  }
}

/** Whether this process id still is one of Node.js. */
function isNode(pid) {
  try {
    return readFileSync(`/proc/${Number(pid)}/cmdline`, 'utf8').includes('node');
  } catch {
    return false;
  }
}

function run(command, args, { input, fails = false } = {}) {
  try {
    return execFileSync(command, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  } catch (error) {
    if (fails) return undefined;
    throw new Error(`${command} ${args.join(' ')}: ${error.stderr || error.message}`);
  }
}
