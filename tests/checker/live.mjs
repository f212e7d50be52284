// Rooms and signals: live only, and best effort. Whatever is heard must have been said, to those who hear it.
//
//   unsaid      nobody said it there, or somebody else did
//   refused     it was refused for good, and is heard
//   too soon    it came before `ready`
//   again       it came twice on one connection
//   own         it came to the connection that said it
//   outsider    it came to one who surely was not in the room from when it was said until it came; or it is a signal to somebody else,
//               or to a group of which nobody ever wanted them to be a member
//   out of turn what one connection said to one room, or signalled to one place, came in another order to a connection of the same node
//   two ids     a message has another id than its answer said, or than it came with elsewhere
//
// Nothing says that it must come. Between nodes hints may be late: whoever has come meanwhile may hear what was said before, and the
// order may differ.

import { of } from './maps.mjs';
import { Stays } from './stays.mjs';

export class Live {
  #facts;
  #report;
  /** mark → its call */
  #said = new Map();
  /** `connection room` → Stays */
  #stays = new Map();
  /** connection → mark → line */
  #heard = new Map();
  /** connection → `kind, connection of who said it, where` → `{said, line}`, the last one */
  #last = new Map();
  /** mark → `{id, line}` */
  #ids = new Map();

  constructor(facts, report) {
    this.#facts = facts;
    this.#report = report;
    for (const kind of ['say', 'signal']) for (const call of facts.calls.of(kind)) this.#said.set(call.mark, call);
    const ins = grouped(facts.calls.of('enter'));
    const outs = grouped(facts.calls.of('exit'));
    for (const [key, calls] of ins) this.#stays.set(key, new Stays(calls, outs.get(key) ?? []));
  }

  observe(event, line) {
    if (event.is === 'hear') this.#hear({ ...event, to: { room: event.room } }, 'say', line);
    if (event.is === 'sign') this.#hear(event, 'signal', line);
    if (event.is === 'disconnect') {
      this.#heard.delete(event.connection);
      this.#last.delete(event.connection);
    }
  }

  finish() {}

  #hear({ connection: number, to, from, mark, id }, kind, line) {
    const connection = this.#facts.connection(number, line);
    const place = placeOf(to);
    const said = this.#said.get(mark);
    const add = (rule, text, ...lines) =>
      this.#report.add({
        promise: kind === 'say' ? 'rooms' : 'signals',
        rule,
        text,
        conversation: place,
        device: connection.key,
        connection: number,
        lines: [said?.line, ...lines, line],
      });
    if (!(connection.ready < line)) add('too soon', 'it came before ready', connection.began, connection.ready);
    if (!this.#isOf(said, kind, place, from)) return add('unsaid', `${from} has said no ${mark} there`);
    if (said.ok === false) add('refused', 'it was refused, and came', said.end);
    if (said.connection === number) add('own', 'it came to the connection that said it');
    if (this.#isOutside(connection, to, said, line)) add('outsider', `${connection.user} was not there`);
    this.#isInTurn(connection, place, said, line, add);
    if (kind === 'say') this.#hasOneId(id, said, line, add);
  }

  #isOf(said, kind, place, from) {
    if (said?.is !== kind || placeOf(said.to ?? { room: said.room }) !== place) return false;
    return this.#facts.connection(said.connection, said.line).user === from;
  }

  #isOutside(connection, to, said, line) {
    if (to.user !== undefined) return to.user !== connection.user;
    if (to.group !== undefined) return !this.#facts.mayHaveJoined(connection.user, to.group, line);
    const stays = this.#stays.get(`${connection.number} ${to.room}`);
    return stays?.surelyOut(said.line, line) ?? true;
  }

  #isInTurn(connection, place, said, line, add) {
    const heard = of(this.#heard, connection.number);
    const before = heard.get(said.mark);
    if (before !== undefined) return add('again', 'it came before', before);
    heard.set(said.mark, line);
    const speaker = this.#facts.connection(said.connection, said.line);
    if (speaker.node === undefined || speaker.node !== connection.node) return undefined;
    const last = of(this.#last, connection.number);
    const key = `${said.is} ${said.connection} ${place}`;
    const previous = last.get(key);
    if (previous?.said > said.line) return add('out of turn', 'what was said after it came before it', previous.said, previous.line);
    last.set(key, { said: said.line, line });
    return undefined;
  }

  #hasOneId(id, said, line, add) {
    const known = said.id === undefined ? this.#ids.get(said.mark) : { id: said.id, line: said.end };
    if (known === undefined) this.#ids.set(said.mark, { id, line });
    else if (known.id !== id) add('two ids', `it has the id ${id}, and ${known.id}`, known.line);
  }
}

/** `r:lobby`, `g:team`, or `to bob`. */
function placeOf({ room, group, user }) {
  if (room !== undefined) return `r:${room}`;
  return group !== undefined ? `g:${group}` : `to ${user}`;
}

/** Calls by connection and room. */
function grouped(calls) {
  const groups = new Map();
  for (const call of calls) {
    const key = `${call.connection} ${call.room}`;
    groups.set(key, [...(groups.get(key) ?? []), call]);
  }
  return groups;
}
