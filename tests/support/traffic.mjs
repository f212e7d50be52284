// A user who goes on writing, whatever happens, and notes what was acknowledged.

import { setTimeout as pause } from 'node:timers/promises';

import { until } from './wait.mjs';

const ANSWER_MS = 5_000;
const PAUSE_MS = 20;
// A client may send 200 events a second, confirmations among them: on a quick machine it would be refused for that.
const PACE_MS = 12;

export class Traffic {
  /** Codes of refusals, in order. */
  refusals = [];
  acknowledged = 0;
  #stopped = false;
  #done;

  /** Sends one message after the other to `to`; one that was refused or not answered is sent again, with the same cid. */
  constructor(client, to, ledger) {
    Object.assign(this, { client, to, ledger });
    this.#done = this.#run();
  }

  /** Waits until so many more are acknowledged. */
  async more(count, budgetMs = 20_000) {
    const wanted = this.acknowledged + count;
    await until(
      () => this.acknowledged >= wanted,
      budgetMs,
      () => `${count} more acknowledged sends of ${this.client.user}, ${wanted - this.acknowledged} are missing; refused: ${this.refusals.slice(-3)}`,
    );
  }

  /** Waits until a send was refused with this code. */
  async refused(code, budgetMs = 20_000) {
    const before = this.refusals.length;
    await until(() => this.refusals.slice(before).includes(code), budgetMs, `a send is refused as ${code}`);
  }

  async stop() {
    this.#stopped = true;
    await this.#done;
  }

  async #run() {
    for (let number = 1; !this.#stopped; number += 1) {
      const send = { to: this.to, cid: `${this.client.user}-${number}`, body: { number } };
      while (!this.#stopped && !(await this.#send(send))) {
        if (this.client.disconnected) return;
        await pause(PAUSE_MS);
      }
      await pause(PACE_MS);
    }
  }

  async #send(send) {
    let answer;
    try {
      answer = await this.client.ask('send', send, ANSWER_MS);
    } catch {
      this.refusals.push('no answer');
      return false;
    }
    if (!answer.ok) {
      this.refusals.push(answer.error.code);
      return false;
    }
    this.ledger.note(answer, send.cid, send.body);
    this.acknowledged += 1;
    return true;
  }
}
