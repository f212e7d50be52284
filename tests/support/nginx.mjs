// Runs a real nginx with deploy/nginx/phalanx.conf in front of a cluster: own directory, free ports, a certificate of its own.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { until, within } from './wait.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const SAMPLE = join(ROOT, 'deploy', 'nginx', 'phalanx.conf');
const START_MS = 10_000;
const STOP_MS = 10_000;
const ANSWER_MS = 10_000;

/** The names of the sample that a client asks for. */
export const TICKETS = 'tickets.example.com';
export const SPEARS = 'spear-++.example.com';

/** Two ports that were free a moment ago: `{open, control}`. */
export async function freePorts() {
  const servers = [createServer(), createServer()];
  for (const server of servers) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
  const [open, control] = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return { open, control };
}

export class Nginx {
  #child;
  #exited;

  /** Starts nginx on `ports` and waits until it answers. `replace` turns each address of the sample into another one. */
  static async start(ports, replace) {
    const nginx = new Nginx();
    nginx.ports = ports;
    nginx.directory = mkdtempSync(join(tmpdir(), 'phalanx-nginx-'));
    // The workers of a root's nginx are another user.
    chmodSync(nginx.directory, 0o755);
    for (const name of ['log', 'tmp']) mkdirSync(join(nginx.directory, name));
    nginx.#makeCertificate();
    nginx.#write(replace);
    const child = spawn('nginx', ['-p', nginx.directory, '-e', 'log/error.log', '-c', 'nginx.conf'], { stdio: 'ignore' });
    nginx.#child = child;
    let gone;
    nginx.#exited = once(child, 'exit').then((end) => (gone = end), (error) => (gone = error));
    // Ends the workers too, which SIGKILL would leave behind.
    process.once('exit', nginx.#onExit);
    const answers = () => gone || nginx.ask('GET', TICKETS, '/');
    await until(answers, START_MS, () => `nginx answers\n${nginx.errorLog()}`);
    if (gone) throw new Error(`nginx ended at its start: ${gone}\n${nginx.errorLog()}`);
    return nginx;
  }

  /** For clients that are to find every name here, with the certificate that was made for them. */
  agent(more = {}) {
    const lookup = (_, options, found) =>
      options.all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4);
    return new https.Agent({ ca: readFileSync(this.#file('cert.pem')), lookup, ...more });
  }

  /** A request to the public listener, by name. `from`: the client's own address. Answers `{status, headers, body}`. */
  ask(method, name, path, { headers = {}, body, from } = {}) {
    const options = { method, path, headers, host: name, servername: name, port: this.ports.open };
    return within(
      new Promise((resolve, reject) => {
        const request = https.request({ ...options, agent: this.agent({ localAddress: from }) }, (response) => {
          const chunks = [];
          response.on('data', (chunk) => chunks.push(chunk));
          response.on('end', () => {
            resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() });
          });
        });
        request.on('error', reject);
        request.end(body);
      }),
      ANSWER_MS,
      `${method} https://${name}${path} is answered`,
    );
  }

  errorLog() {
    const file = this.#file('log/error.log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '(no log)';
  }

  async dispose() {
    process.removeListener('exit', this.#onExit);
    this.#child.kill('SIGTERM');
    await within(this.#exited, STOP_MS, 'nginx has ended');
    rmSync(this.directory, { recursive: true, force: true });
  }

  #onExit = () => this.#child.kill('SIGTERM');

  #file(name) {
    return join(this.directory, name);
  }

  #makeCertificate() {
    execFileSync('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', '/CN=phalanx test', '-addext', 'subjectAltName=DNS:*.example.com',
      '-keyout', this.#file('key.pem'), '-out', this.#file('cert.pem'),
    ], { stdio: 'ignore' });
  }

  #write(replace) {
    const places = {
      'listen 443 ': `listen 127.0.0.1:${this.ports.open} `,
      'listen 10.0.0.11:8080': `listen 127.0.0.1:${this.ports.control}`,
      '/etc/phalanx/tls/fullchain.pem': this.#file('cert.pem'),
      '/etc/phalanx/tls/privkey.pem': this.#file('key.pem'),
      '/var/log/nginx/': `${this.#file('log')}/`,
      ...replace,
    };
    let sample = readFileSync(SAMPLE, 'utf8').replace(/^ *#.*\n/gm, '');
    for (const [from, to] of Object.entries(places)) {
      if (!sample.includes(from)) throw new Error(`${SAMPLE} has no ${from}: it has changed, and this test must follow`);
      sample = sample.replaceAll(from, to);
    }
    const left = sample.match(/10\.0\.0\.\d+[:\d]*/);
    if (left) throw new Error(`${SAMPLE} has an address that this test does not know: ${left[0]}`);
    writeFileSync(this.#file('phalanx.conf'), sample);
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    writeFileSync(this.#file('nginx.conf'), [
      'daemon off;',
      'worker_processes 1;',
      'pid nginx.pid;',
      'error_log log/error.log info;',
      'events { worker_connections 512; }',
      'http {',
      '  access_log off;',
      ...temporary.map((name) => `  ${name}_temp_path tmp/${name};`),
      '  include phalanx.conf;',
      '}',
    ].join('\n'));
  }
}
