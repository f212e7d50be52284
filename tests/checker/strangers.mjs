// Nobody gets what is not theirs (promise 2: only the time when the user was a member).
//
//   stranger   a message was delivered to somebody who surely was no member at its `seq`, or is not of that direct conversation

export class Strangers {
  #facts;
  #report;

  constructor(facts, report) {
    this.#facts = facts;
    this.#report = report;
  }

  observe(event, line) {
    if (event.is !== 'receive') return;
    const { user, key } = this.#facts.connection(event.connection, line);
    const conversation = this.#facts.conversation(event.conversation);
    if (!this.#facts.surelyNotTheirs(user, conversation, event.seq)) return;
    const send = conversation.sendAt(event.seq);
    this.#report.add({
      promise: 2,
      rule: 'stranger',
      text: `${user} is not one of those it was sent to`,
      conversation: conversation.name,
      seq: event.seq,
      device: key,
      connection: event.connection,
      lines: [...this.#facts.changesOf(user, conversation), send?.began, send?.acknowledged[0]?.answered, line],
    });
  }

  finish() {}
}
