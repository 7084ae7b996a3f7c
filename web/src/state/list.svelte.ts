/** The rows of the folder or search that is shown; loaded in windows, so that its length does not matter. */

import { SvelteSet } from "svelte/reactivity";
import type { EmailSummary, Filter, GetAnswer, Id, QueryAnswer } from "../lib/jmap/types";
import { SUMMARY, type Mail } from "./mail.svelte";

export const WINDOW = 50;
/** Rows of a conversation that are asked for with a window; what is longer is read when it is opened. */
const SORT = [{ property: "receivedAt", isAscending: false }];

export interface Source {
  filter: Filter;
  folder: Id | null;
  threads: boolean;
}

export class List {
  /** Email ids by position; a position that was not loaded yet is undefined. */
  rows = $state.raw<(Id | undefined)[]>([]);
  isLoaded = $state(false);
  hasFailed = $state(false);
  cursor = $state(-1);
  readonly selected = new SvelteSet<Id>();
  private anchor = -1;
  private readonly windows = new Set<number>();
  private visible: [first: number, last: number] = [0, 0];
  private generation = 0;

  constructor(
    private readonly mail: Mail,
    readonly source: Source,
  ) {}

  email(index: number): EmailSummary | undefined {
    const id = this.rows[index];
    return id === undefined ? undefined : this.mail.emails.get(id);
  }

  /** The emails a row stands for: its conversation, or itself. */
  conversation(email: EmailSummary): EmailSummary[] {
    if (!this.source.threads) return [email];
    const known = this.mail.ofThread(email.threadId);
    return known.length > 0 ? known : [email];
  }

  indexOfThread(threadId: Id): number {
    return this.rows.findIndex((id) => id !== undefined && this.mail.emails.get(id)?.threadId === threadId);
  }

  async load(): Promise<void> {
    await this.fetchWindow(0, true);
  }

  /** Rows `first` to `last` are to be seen. */
  show(first: number, last: number): void {
    this.visible = [first, last];
    for (let window = Math.floor(first / WINDOW); window <= Math.floor(last / WINDOW); window += 1) {
      if (!this.windows.has(window) && window * WINDOW < this.rows.length) void this.fetchWindow(window, false);
    }
  }

  /** Look again at what is to be seen; the rest is loaded when it comes to be seen. */
  async refresh(): Promise<void> {
    const first = Math.floor(this.visible[0] / WINDOW);
    const last = Math.floor(this.visible[1] / WINDOW);
    this.generation += 1;
    this.windows.clear();
    for (let window = first; window <= last; window += 1) await this.fetchWindow(window, true);
  }

  private async fetchWindow(window: number, measure: boolean): Promise<void> {
    this.windows.add(window);
    const generation = this.generation;
    const { client } = this.mail;
    try {
      const query = client.call<QueryAnswer>("Email/query", {
        filter: this.source.filter, sort: SORT, position: window * WINDOW, limit: WINDOW,
        collapseThreads: this.source.threads, calculateTotal: measure,
      });
      const emails = client.call<GetAnswer<EmailSummary>>("Email/get", { "#ids": query.reference("/ids"), properties: SUMMARY });
      if (this.source.threads) this.fetchConversations(emails.reference("/list/*/threadId"));
      const { ids, total } = await query;
      const { list } = await emails;
      if (generation !== this.generation) return;
      this.mail.keep(list);
      this.place(window, ids, total);
      this.hasFailed = false;
    } catch {
      this.windows.delete(window);
      this.hasFailed = true;
    }
    this.isLoaded = true;
  }

  /** What the rest of each conversation says about its row. That it is too much at once is no failure of the list. */
  private fetchConversations(threadIds: unknown): void {
    const { client } = this.mail;
    const threads = client.call<GetAnswer<{ id: Id; emailIds: Id[] }>>("Thread/get", { "#ids": threadIds });
    const others = client.call<GetAnswer<EmailSummary>>("Email/get", { "#ids": threads.reference("/list/*/emailIds"), properties: SUMMARY });
    threads.then(({ list }) => this.mail.keepThreads(list), () => {});
    others.then(({ list }) => this.mail.keep(list), () => {});
  }

  private place(window: number, ids: Id[], total: number | undefined): void {
    const rows = this.rows.slice();
    if (total !== undefined) rows.length = total;
    ids.forEach((id, offset) => (rows[window * WINDOW + offset] = id));
    this.rows = rows;
    if (this.cursor >= rows.length) this.cursor = rows.length - 1;
  }

  /** Rows that left the folder go at once. Returns how to put them back. */
  remove(gone: ReadonlySet<Id>): () => void {
    const before = this.rows;
    const cursor = this.cursor;
    this.rows = before.filter((id) => id === undefined || !gone.has(id));
    for (const id of gone) this.selected.delete(id);
    this.cursor = Math.min(cursor, this.rows.length - 1);
    return () => {
      this.rows = before;
      this.cursor = cursor;
    };
  }

  toggle(index: number): void {
    const id = this.rows[index];
    if (id === undefined) return;
    if (!this.selected.delete(id)) this.selected.add(id);
    this.anchor = index;
  }

  /** Everything between the row last chosen and this one (shift and click). */
  selectTo(index: number): void {
    const from = this.anchor < 0 ? Math.max(this.cursor, 0) : this.anchor;
    for (let row = Math.min(from, index); row <= Math.max(from, index); row += 1) {
      const id = this.rows[row];
      if (id !== undefined) this.selected.add(id);
    }
  }

  selectLoaded(): void {
    for (const id of this.rows) if (id !== undefined) this.selected.add(id);
  }
}
