/** Typed events. A handler may answer a promise: what it was told counts as taken once that is fulfilled. */

export type Handler<Payload> = (payload: Payload) => unknown;

export class Emitter<Events> {
  #handlers = new Map<keyof Events, Set<Handler<never>>>();

  /** Calls `handler` for each event; answers a function that ends that. */
  on<Name extends keyof Events>(name: Name, handler: Handler<Events[Name]>): () => void {
    const handlers = this.#handlers.get(name) ?? new Set();
    this.#handlers.set(name, handlers);
    handlers.add(handler as Handler<never>);
    return () => this.off(name, handler);
  }

  off<Name extends keyof Events>(name: Name, handler: Handler<Events[Name]>): void {
    this.#handlers.get(name)?.delete(handler as Handler<never>);
  }

  /** Whether anybody listens. */
  hears(name: keyof Events): boolean {
    return (this.#handlers.get(name)?.size ?? 0) > 0;
  }

  /** Tells everybody, whatever they make of it: what they throw is thrown into the open, not at who tells. */
  protected tell<Name extends keyof Events>(name: Name, payload: Events[Name]): void {
    for (const handler of [...(this.#handlers.get(name) ?? [])]) {
      try {
        void handler(payload as never);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** Tells everybody, and answers a promise where somebody needs time; what they throw comes out. */
  protected give<Name extends keyof Events>(name: Name, payload: Events[Name]): Promise<unknown> | undefined {
    const results = [...(this.#handlers.get(name) ?? [])].map((handler) => handler(payload as never));
    const promises = results.filter((result) => typeof (result as Partial<Promise<unknown>> | undefined)?.then === "function");
    return promises.length > 0 ? Promise.all(promises) : undefined;
  }
}
