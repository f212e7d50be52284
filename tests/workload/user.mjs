// A user: what they write, to whom, and what of it is still without an answer.

import { directConversation } from '../support/client.mjs';
import { Device } from './device.mjs';

const FRIENDS = 3;
const DEVICES = 3;
// What is repeated on purpose is one of so many.
const REMEMBERED = 50;
// At most so much is sent again at once.
const UNANSWERED_MAX = 20;

// Whether a refused send may be sent again with a better end.
const FOR_NOW = ['unavailable', 'rate_limited', 'forbidden'];

export class User {
  /** cid → a send that nobody has answered for good, the oldest first */
  unanswered = new Map();
  /** Some that were acknowledged, with the `seq` of the answer. */
  sent = [];
  #count = 0;

  constructor(world, name) {
    Object.assign(this, { world, name });
    this.random = world.random.of(`user ${name}`);
    const devices = this.random.integer(1, DEVICES);
    this.devices = Array.from({ length: devices }, (_, index) => new Device(world, this, `device-${index + 1}`));
  }

  /** Chooses friends, once everybody is there; a few write to themselves. */
  befriend(users) {
    this.friends = this.random.sample(users.filter((user) => user !== this), FRIENDS);
    if (this.random.chance(0.2)) this.friends.push(this);
  }

  /** Somebody to write to: a friend, one's own group, or now and then a group that one may not be in. */
  destination(random) {
    const { groups } = this.world;
    const mine = groups.filter((group) => group.members.has(this.name));
    switch (random.weighted({ friend: 10, mine: 12, any: 1 })) {
      case 'friend':
        return this.#to(random.pick(this.friends));
      case 'mine':
        if (mine.length > 0) return this.#toGroup(random.pick(mine));
      // Falls through.
      default:
        return this.#toGroup(random.pick(groups));
    }
  }

  /** A new message. */
  write(random, { to, conversation } = this.destination(random), bytes = 0) {
    this.#count += 1;
    const body = { from: this.name, number: this.#count, text: 'x'.repeat(bytes) };
    return { to, conversation, cid: `${this.name}-${this.#count}`, body };
  }

  /** Sends on a connection, also what was sent before; answers whether that settled it. */
  async send(connection, send) {
    if (connection.ended) return false;
    this.world.conversations.add(send.conversation);
    if (!this.sent.includes(send) && this.unanswered.size < UNANSWERED_MAX) this.unanswered.set(send.cid, send);
    // The line of this attempt.
    send.began ??= this.world.recorder.lines + 1;
    const answer = await connection.send(send);
    if (!answer) {
      this.world.count('sends without an answer');
      return false;
    }
    if (!answer.ok) {
      this.world.count(`refused: ${answer.error.code}`);
      if (FOR_NOW.includes(answer.error.code)) return false;
    } else {
      this.world.count(answer.duplicate ? 'duplicates' : 'acknowledged');
      send.seq = answer.seq;
      this.sent.push(send);
      if (this.sent.length > REMEMBERED) this.sent.shift();
    }
    this.unanswered.delete(send.cid);
    return true;
  }

  #to(friend) {
    return { to: { user: friend.name }, conversation: directConversation(this.name, friend.name) };
  }

  #toGroup(group) {
    return { to: { group: group.name }, conversation: `g:${group.name}` };
  }
}
