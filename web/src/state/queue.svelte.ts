/** What was written and done without a connection: kept in this browser, done at the server once it answers again. */

import { Unreachable, type JmapClient } from "../lib/jmap/client";
import type { EmailSummary, GetAnswer, QueryAnswer, SetAnswer, SetError } from "../lib/jmap/types";
import { store } from "../lib/store";

export type Calls = [name: string, args: Record<string, unknown>][];

interface Item {
  key: string;
  accountId: string;
  calls: Calls;
  /** Of the message it sends: told apart by it, should an answer get lost. */
  messageId: string | null;
  /** When it was last tried; null: never. */
  triedAt: number | null;
}

/** After so long a request that was under way has been seen to, or never will be. */
const SETTLED_MS = 5_000;

let serial = 0;

/** A key of its own, in the order of time. */
export function newKey(): string {
  return `${Date.now()}-${String(serial++).padStart(6, "0")}`;
}

/** Nobody else meanwhile, where the browser can tell. */
function alone<T>(what: () => Promise<T>): Promise<T> {
  return "locks" in navigator ? (navigator.locks.request("everpost.queue", what) as Promise<T>) : what();
}

export class Queue {
  /** How many things wait. */
  count = $state(0);
  /** Items that somebody is at work on: they are not done yet. */
  readonly held = new Set<string>();
  /** What the server refused of what was done without it. */
  onRefused: (problem: SetError) => void = () => {};
  private flushing: Promise<number> | null = null;

  constructor(private readonly client: JmapClient) {
    void this.tell();
  }

  /** Put in, or in the place of what has this key. */
  async put(calls: Calls, key: string = newKey(), messageId: string | null = null): Promise<void> {
    await store.put("queue", key, { key, accountId: this.client.accountId, calls, messageId, triedAt: null } satisfies Item);
    await this.tell();
  }

  async remove(key: string): Promise<void> {
    await store.remove("queue", key);
    await this.tell();
  }

  /** All that waits, the oldest first. Resolves to how many were done; stops where the server is away again. */
  flush(): Promise<number> {
    // One page at a time: what two did would be done twice.
    this.flushing ??= alone(() => this.flushNow()).finally(() => (this.flushing = null));
    return this.flushing;
  }

  private async flushNow(): Promise<number> {
    let done = 0;
    const items = (await store.all<Item>("queue")).filter(({ key, accountId }) => accountId === this.client.accountId && !this.held.has(key));
    for (const item of items) {
      const { key } = item;
      try {
        if (!(await this.wasDone(item))) await this.perform(item);
        done += 1;
      } catch (error) {
        if (error instanceof Unreachable) break;
        this.onRefused({ type: "serverFail", description: error instanceof Error ? error.message : String(error) });
      }
      await this.remove(key);
    }
    return done;
  }

  private async perform(item: Item): Promise<void> {
    await store.put("queue", item.key, { ...item, triedAt: Date.now() } satisfies Item);
    const answers = await Promise.all(item.calls.map(([name, args]) => this.client.call<SetAnswer>(name, args)));
    for (const { notCreated, notUpdated } of answers) {
      const problem = Object.values({ ...notCreated, ...notUpdated })[0];
      if (problem !== undefined) this.onRefused(problem);
    }
  }

  /** Whether a message that was tried before has left; a draft that is all that came of it goes. */
  private async wasDone({ messageId, triedAt }: Item): Promise<boolean> {
    if (messageId === null || triedAt === null) return false;
    await new Promise((done) => setTimeout(done, Math.max(0, triedAt + SETTLED_MS - Date.now())));
    const query = this.client.call<QueryAnswer>("Email/query", { filter: { header: ["Message-ID", messageId] } });
    const emails = this.client.call<GetAnswer<EmailSummary>>("Email/get", { "#ids": query.reference("/ids"), properties: ["id", "keywords"] });
    await query;
    const { list } = await emails;
    const drafts = list.filter(({ keywords }) => "$draft" in keywords);
    if (drafts.length > 0) await this.client.call("Email/set", { destroy: drafts.map(({ id }) => id) });
    return list.length > drafts.length;
  }

  private async tell(): Promise<void> {
    this.count = (await store.all<Item>("queue")).filter(({ accountId }) => accountId === this.client.accountId).length;
  }
}
