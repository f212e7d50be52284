// What came from the server and was not yet asked for.

export const ANSWER_MS = 8_000;

export class Queue {
  #items = [];
  // Where the items begin that nobody asked for: to shift a long array costs its length each time.
  #from = 0;
  #waiting = [];
  #ended;

  push(item) {
    const waiter = this.#waiting.shift();
    if (waiter) waiter.resolve(item);
    else this.#items.push(item);
  }

  /** Nothing comes any more: who waits is told why. */
  end(why) {
    this.#ended ??= why;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(new Error(`nothing comes any more: ${why}`));
  }

  get length() {
    return this.#items.length - this.#from;
  }

  /** The next item, waited for. */
  next(budgetMs = ANSWER_MS) {
    if (this.length > 0) return Promise.resolve(this.#take());
    if (this.#ended !== undefined) return Promise.reject(new Error(`nothing comes any more: ${this.#ended}`));
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(new Error(`nothing came within ${budgetMs} ms`));
      }, budgetMs);
      const settle = (done) => (value) => {
        clearTimeout(late);
        done(value);
      };
      const waiter = { resolve: settle(resolve), reject: settle(reject) };
      this.#waiting.push(waiter);
    });
  }

  #take() {
    const item = this.#items[this.#from];
    this.#from += 1;
    if (this.#from === this.#items.length) {
      this.#items = [];
      this.#from = 0;
    }
    return item;
  }
}
