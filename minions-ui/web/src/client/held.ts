/** What a device holds of each conversation: so that each message counts once, and only what is held is confirmed. */

/** The most conversations that are remembered; beyond it the one that was quiet longest is forgotten. */
export const MAX_CONVERSATIONS = 1_000;
/** The most single numbers that are remembered above a conversation's floor. */
export const MAX_NUMBERS = 1_000;

interface Conversation {
  /** Everything up to here was seen. */
  floor: number;
  /** What was seen above the floor. */
  seen: Set<number>;
  /** Up to here the device holds everything that it is meant to have. */
  held: number;
  /** What was confirmed last. */
  confirmed: number;
}

export class Held {
  private readonly conversations = new Map<string, Conversation>();

  /** Takes a message that arrived; `false` says that it had been seen before. Messages of one connection come in order,
   * so nothing below this one is still under way. */
  receive(name: string, seq: number): boolean {
    const conversation = this.conversation(name);
    const isNew = this.note(conversation, seq);
    conversation.held = Math.max(conversation.held, seq);
    this.extend(conversation);
    return isNew;
  }

  /** Takes the number of an own message, from the acknowledgement. Others' messages below it may still be under way,
   * so it counts as held only where nothing is missing before it. */
  sent(name: string, seq: number): void {
    const conversation = this.conversation(name);
    this.note(conversation, seq);
    this.extend(conversation);
  }

  /** What may be confirmed and has not been; it counts as confirmed from then on. */
  unconfirmed(): { conversation: string; seq: number }[] {
    const list: { conversation: string; seq: number }[] = [];
    for (const [name, conversation] of this.conversations) {
      if (conversation.held <= conversation.confirmed) continue;
      conversation.confirmed = conversation.held;
      list.push({ conversation: name, seq: conversation.held });
    }
    return list;
  }

  /** A confirmation was refused or lost: it is offered again with the next ones. */
  forgetConfirmed(names: string[]): void {
    for (const name of names) {
      const conversation = this.conversations.get(name);
      if (conversation) conversation.confirmed = 0;
    }
  }

  private conversation(name: string): Conversation {
    const known = this.conversations.get(name) ?? { floor: 0, seen: new Set<number>(), held: 0, confirmed: 0 };
    // A Map keeps the order of insertion: taken out and put in again, the first one is always the quietest.
    this.conversations.delete(name);
    this.conversations.set(name, known);
    const [quietest] = this.conversations.keys();
    if (this.conversations.size > MAX_CONVERSATIONS && quietest !== undefined) this.conversations.delete(quietest);
    return known;
  }

  private note(conversation: Conversation, seq: number): boolean {
    if (seq <= conversation.floor || conversation.seen.has(seq)) return false;
    conversation.seen.add(seq);
    if (conversation.seen.size > MAX_NUMBERS) {
      conversation.floor = Math.min(...conversation.seen);
      conversation.seen.delete(conversation.floor);
    }
    return true;
  }

  private extend(conversation: Conversation): void {
    while (conversation.seen.has(conversation.held + 1)) conversation.held += 1;
  }
}
