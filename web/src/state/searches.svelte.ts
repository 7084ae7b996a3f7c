/** The searches made in this browser, for the search field; they go when the person logs out. */

import { withRecent } from "../lib/mail/suggest";
import { store } from "../lib/store";

const KEY = "searches";

class Searches {
  /** The newest first. */
  recent = $state.raw<readonly string[]>([]);

  async load(): Promise<void> {
    this.recent = (await store.get<string[]>("meta", KEY)) ?? [];
  }

  async add(query: string): Promise<void> {
    await this.load();
    this.recent = withRecent(this.recent, query);
    await store.put("meta", KEY, [...this.recent]);
  }

  async forget(): Promise<void> {
    this.recent = [];
    await store.remove("meta", KEY);
  }
}

export const searches = new Searches();
