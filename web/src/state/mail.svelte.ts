/** The mailbox as this browser knows it: folders, the emails seen so far, and how both follow the server. */

import { SvelteMap, SvelteSet } from "svelte/reactivity";
import { HttpError, JmapClient, MethodError, SUBMISSION, Unreachable, type Call } from "../lib/jmap/client";
import { follow } from "../lib/jmap/follow";
import { patched, reverse } from "../lib/jmap/patch";
import { isLabel } from "../lib/mail/labels";
import type { ChangesAnswer, Email, EmailAddress, EmailSummary, GetAnswer, Id, Identity, Mailbox, Patch, QueryAnswer, Role, SetAnswer, SetError, TypeState } from "../lib/jmap/types";
import { store } from "../lib/store";
import { t } from "./i18n.svelte";
import { Queue } from "./queue.svelte";
import { settings } from "./settings.svelte";
import { toasts } from "./toasts.svelte";

export const SUMMARY = ["id", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "from", "to", "subject", "preview", "hasAttachment"];
const WHOLE = [
  ...SUMMARY, "blobId", "messageId", "inReplyTo", "references", "sender", "cc", "bcc", "replyTo", "sentAt",
  "textBody", "htmlBody", "attachments", "bodyValues", "header:Importance:asText", "header:X-Priority:asText",
];
const MAX_BODY_OCTETS = 1_000_000;
const MOST_AT_ONCE = 200;
const LABELS_SOUGHT_IN = 300;
/** Conversations and messages kept for times without a connection. */
const MOST_KEPT = 300;

export class Mail {
  folders = $state.raw<Mailbox[]>([]);
  identities = $state.raw<Identity[]>([]);
  readonly emails = new SvelteMap<Id, EmailSummary>();
  readonly threads = new SvelteMap<Id, Id[]>();
  /** Keywords of the labels seen on any email. */
  readonly labels = new SvelteSet<string>();
  readonly whole = new SvelteMap<Id, Email>();
  readonly isReadOnly: boolean;
  /** Whether the server sends mail for this person from this mailbox at all. */
  readonly hasSubmission: boolean;
  /** Something at the server has changed: lists look again. */
  onChange: (created: ReadonlySet<Id>) => void = () => {};
  isReachable = $state(true);
  readonly queue: Queue;
  /** The connection is back: what waited for it can be done. */
  onReturn: () => void = () => {};
  private readonly listeners = new Map<string, () => void>();
  private emailState: string | null = null;
  private writing = 0;
  private starting: Promise<void> | null = null;
  private following: Promise<void> | null = null;
  private again = false;

  constructor(readonly client: JmapClient) {
    this.isReadOnly = client.account.isReadOnly;
    this.hasSubmission = SUBMISSION in client.account.accountCapabilities;
    this.queue = new Queue(client);
    this.queue.onRefused = ({ type, description }) => toasts.problem(t("done.failed", { why: reasonOf(new MethodError(type, description)) }));
    client.onReach = (isReachable) => this.reach(isReachable);
  }

  /** Once, however often it is asked for. Raises `HttpError`, `Unreachable`; it can be tried again then. */
  start(): Promise<void> {
    this.starting ??= this.startNow().catch((error: unknown) => {
      this.starting = null;
      throw error;
    });
    return this.starting;
  }

  private async startNow(): Promise<void> {
    const state = this.client.call<GetAnswer<EmailSummary>>("Email/get", { ids: [], properties: ["id"] });
    await Promise.all([this.loadFolders(), this.loadIdentities(), state]);
    this.emailState = (await state).state;
    void this.findLabels().catch(() => {}); // the list of labels is a help only
    addEventListener("online", this.retry);
    void this.queue.flush();
  }

  private async loadIdentities(): Promise<void> {
    if (!this.hasSubmission) return;
    const { list } = await this.client.call<GetAnswer<Identity>>("Identity/get", { ids: null });
    this.identities = list;
  }

  /** The server says what has changed (null: anything may have). Of a mailbox nobody opened yet the folders are enough. */
  told(types: TypeState | null): void {
    if (this.isStarted) for (const [type, changed] of this.listeners) if (types === null || type in types) changed();
    this.hear(types);
  }

  get isStarted(): boolean {
    return this.emailState !== null;
  }

  get maySend(): boolean {
    return this.hasSubmission && !this.isReadOnly;
  }

  /** Whom a new message is from: the one that was chosen in the settings, else the first. */
  get identity(): Identity | undefined {
    return this.identities.find(({ id }) => id === settings.identityId && this.sharedName === null) ?? this.identities[0];
  }

  /** The mailbox's address, where it is not the person's own. */
  get sharedName(): string | null {
    return this.client.account.isPersonal ? null : this.client.account.name;
  }

  private readonly retry = (): void => this.hear(null);

  /** Be told when something of a type that is no email has changed, or may have. */
  listen(type: string, changed: () => void): void {
    this.listeners.set(type, changed);
  }

  private reach(isReachable: boolean): void {
    if (isReachable === this.isReachable) return;
    this.isReachable = isReachable;
    if (isReachable) void this.catchUpWithQueue();
  }

  private async catchUpWithQueue(): Promise<void> {
    this.onReturn();
    const done = await this.queue.flush();
    if (done > 0) toasts.show(t("offline.done", { count: done }));
    this.hear(null);
  }

  stop(): void {
    removeEventListener("online", this.retry);
  }

  /** Whether this is the mailbox of that client, with the same rights. */
  isOf(client: JmapClient): boolean {
    return client.accountId === this.client.accountId && client.account.isReadOnly === this.isReadOnly && SUBMISSION in client.account.accountCapabilities === this.hasSubmission;
  }

  get own(): EmailAddress[] {
    if (this.identities.length === 0) return [{ name: null, email: this.client.account.name }];
    return this.identities.map(({ name, email }) => ({ name, email }));
  }

  /** How far ahead the server takes a message to be sent, in seconds. */
  get mostDelayS(): number {
    return Number(this.client.account.accountCapabilities[SUBMISSION]?.maxDelayedSend ?? 0);
  }

  folder(id: Id | null): Mailbox | undefined {
    return this.folders.find((folder) => folder.id === id);
  }

  withRole(role: Role): Mailbox | undefined {
    return this.folders.find((folder) => folder.role === role);
  }

  async loadFolders(): Promise<void> {
    const { list } = await this.client.call<GetAnswer<Mailbox>>("Mailbox/get", { ids: null });
    this.folders = list;
  }

  /** Keep what came; objects that did not change stay the same. */
  keep(emails: readonly EmailSummary[]): void {
    for (const email of emails) {
      this.emails.set(email.id, email);
      this.noteLabels(email);
    }
  }

  private noteLabels({ keywords }: Pick<EmailSummary, "keywords">): void {
    for (const name of Object.keys(keywords)) if (isLabel(name) && !this.labels.has(name)) this.labels.add(name);
  }

  /** Labels of the newest emails, for the list of labels. */
  private async findLabels(): Promise<void> {
    const query = this.client.call<QueryAnswer>("Email/query", { sort: [{ property: "receivedAt", isAscending: false }], limit: LABELS_SOUGHT_IN });
    const emails = this.client.call<GetAnswer<EmailSummary>>("Email/get", { "#ids": query.reference("/ids"), properties: ["keywords"] });
    await query;
    for (const email of (await emails).list) this.noteLabels(email);
  }

  keepThreads(threads: readonly { id: Id; emailIds: Id[] }[]): void {
    // One that is as it was tells nobody: whoever reads a conversation again when it changes would never come to an end.
    for (const { id, emailIds } of threads) {
      const known = this.threads.get(id);
      if (known === undefined || known.join() !== emailIds.join()) this.threads.set(id, emailIds);
    }
  }

  /** The emails of a thread as far as they are known, oldest first. */
  ofThread(threadId: Id): EmailSummary[] {
    return (this.threads.get(threadId) ?? []).map((id) => this.emails.get(id)).filter((email) => email !== undefined);
  }

  /** All emails of a thread with their bodies; from memory where they were read before. */
  async readThread(threadId: Id): Promise<Email[]> {
    try {
      return await this.readThreadNow(threadId);
    } catch (error) {
      const kept = error instanceof Unreachable ? await this.readKept(threadId) : [];
      if (kept.length === 0) throw error;
      return kept;
    }
  }

  /** Ids are those of an account: another may have the same. */
  private keyOf(id: Id): string {
    return `${this.client.accountId}/${id}`;
  }

  /** As it was read before. */
  private async readKept(threadId: Id): Promise<Email[]> {
    const ids = this.threads.get(threadId) ?? (await store.get<{ ids: Id[] }>("threads", this.keyOf(threadId)))?.ids ?? [];
    const kept = await Promise.all(ids.map((id) => store.get<{ email: Email }>("emails", this.keyOf(id))));
    return kept.flatMap((found) => (found === undefined ? [] : [found.email]));
  }

  private async readThreadNow(threadId: Id): Promise<Email[]> {
    const threads = this.client.call<GetAnswer<{ id: Id; emailIds: Id[] }>>("Thread/get", { ids: [threadId] });
    const known = this.threads.get(threadId);
    const missing = known?.filter((id) => !this.whole.has(id));
    if (missing === undefined || missing.length > 0) {
      const ids = missing === undefined ? { "#ids": threads.reference("/list/*/emailIds") } : { ids: missing };
      await this.getWhole(ids);
    }
    this.keepThreads((await threads).list);
    const ids = this.threads.get(threadId) ?? [];
    const late = ids.filter((id) => !this.whole.has(id));
    if (late.length > 0) await this.getWhole({ ids: late });
    void store.put("threads", this.keyOf(threadId), { at: Date.now(), ids }).then(() => store.bound("threads", MOST_KEPT));
    return ids.map((id) => this.whole.get(id)).filter((email) => email !== undefined);
  }

  async readEmail(id: Id): Promise<Email | undefined> {
    if (!this.whole.has(id)) await this.getWhole({ ids: [id] });
    return this.whole.get(id);
  }

  private async getWhole(ids: Record<string, unknown>): Promise<void> {
    const { list } = await this.client.call<GetAnswer<Email>>("Email/get", {
      ...ids, properties: WHOLE, fetchTextBodyValues: true, maxBodyValueBytes: MAX_BODY_OCTETS,
    });
    for (const email of list) {
      this.whole.set(email.id, email);
      void store.put("emails", this.keyOf(email.id), { at: Date.now(), email });
    }
    void store.bound("emails", MOST_KEPT);
    this.keep(list);
  }

  /**
   * Change emails here at once and at the server; what the server refuses is taken back. Resolves to the patches that
   * would undo it, or to null where it did not work.
   */
  async change(patches: ReadonlyMap<Id, Patch>): Promise<Map<Id, Patch> | null> {
    const undo = this.applyHere(patches);
    try {
      const refused = await this.writeOrQueue(patches);
      if (refused === null) return undo;
      throw new MethodError(refused.type, refused.description);
    } catch (error) {
      this.applyHere(undo);
      toasts.problem(t("done.failed", { why: reasonOf(error) }));
      return null;
    } finally {
      this.hear(null);
    }
  }

  /** Without a connection it is written down, to be done later. */
  private async writeOrQueue(patches: ReadonlyMap<Id, Patch>): Promise<SetError | null> {
    try {
      return await this.write(patches);
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      await this.queue.put([["Email/set", { update: Object.fromEntries(patches) }]]);
      return null;
    }
  }

  private async write(patches: ReadonlyMap<Id, Patch>): Promise<SetError | null> {
    this.writing += 1;
    try {
      const all = [...patches];
      const calls: Call<SetAnswer>[] = [];
      for (let start = 0; start < all.length; start += MOST_AT_ONCE) {
        calls.push(this.client.call<SetAnswer>("Email/set", { update: Object.fromEntries(all.slice(start, start + MOST_AT_ONCE)) }));
      }
      for (const { notUpdated } of await Promise.all(calls)) {
        const problem = Object.values(notUpdated ?? {})[0];
        if (problem !== undefined) return problem;
      }
      return null;
    } finally {
      this.writing -= 1;
    }
  }

  private applyHere(patches: ReadonlyMap<Id, Patch>): Map<Id, Patch> {
    const undo = new Map<Id, Patch>();
    for (const [id, patch] of patches) {
      const before = this.emails.get(id);
      if (before === undefined) continue;
      const after = patched(before, patch);
      undo.set(id, reverse(before, after));
      this.emails.set(id, after);
      this.count(before, after);
    }
    return undo;
  }

  /** Folders count along, so that nothing jumps when the server's own figures come. */
  private count(before: EmailSummary, after: EmailSummary): void {
    const unread = (email: EmailSummary, folder: Mailbox): number => Number(folder.id in email.mailboxIds && !("$seen" in email.keywords));
    const total = (email: EmailSummary, folder: Mailbox): number => Number(folder.id in email.mailboxIds);
    this.folders = this.folders.map((folder) => {
      const more = total(after, folder) - total(before, folder);
      const moreUnread = unread(after, folder) - unread(before, folder);
      if (more === 0 && moreUnread === 0) return folder;
      return { ...folder, totalEmails: folder.totalEmails + more, unreadEmails: Math.max(0, folder.unreadEmails + moreUnread) };
    });
  }

  /** Something has changed at the server, or may have: catch up, one after the other. */
  hear(types: TypeState | null): void {
    if (types !== null && types.Email === this.emailState && !("Mailbox" in types)) return;
    if (this.following !== null) {
      this.again = true;
      return;
    }
    this.following = this.catchUp().finally(() => {
      this.following = null;
      if (!this.again) return;
      this.again = false;
      this.hear(null);
    });
  }

  private async catchUp(): Promise<void> {
    // Answers that were on their way during our own change would show the past for a moment.
    if (this.writing > 0) return;
    try {
      if (this.emailState === null) {
        await this.loadFolders();
        return;
      }
      const ask = (sinceState: string): Promise<ChangesAnswer> => this.client.call<ChangesAnswer>("Email/changes", { sinceState });
      const [followed] = await Promise.all([follow(this.emailState, ask), this.loadFolders()]);
      if (followed === null) {
        const { state } = await this.client.call<GetAnswer<EmailSummary>>("Email/get", { ids: [], properties: ["id"] });
        this.emailState = state;
        this.whole.clear();
        this.onChange(new Set());
        return;
      }
      if (followed.state === this.emailState) return;
      this.emailState = followed.state;
      for (const id of followed.destroyed) this.forget(id);
      const known = [...followed.updated].filter((id) => this.emails.has(id)).slice(0, MOST_AT_ONCE);
      if (known.length > 0) {
        this.keep((await this.client.call<GetAnswer<EmailSummary>>("Email/get", { ids: known, properties: SUMMARY })).list);
      }
      this.onChange(followed.created);
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof HttpError || error instanceof MethodError)) throw error;
    }
  }

  private forget(id: Id): void {
    const threadId = this.emails.get(id)?.threadId;
    if (threadId !== undefined) this.threads.set(threadId, (this.threads.get(threadId) ?? []).filter((other) => other !== id));
    this.emails.delete(id);
    this.whole.delete(id);
  }

  /** Deleted for good. */
  async destroy(ids: readonly Id[]): Promise<void> {
    const { notDestroyed } = await this.client.call<SetAnswer>("Email/set", { destroy: ids });
    const problem = Object.values(notDestroyed ?? {})[0];
    if (problem !== undefined) throw new MethodError(problem.type, problem.description);
    for (const id of ids) this.forget(id);
    this.hear(null);
  }
}

/** Why something did not work, for people. */
export function reasonOf(error: unknown): string {
  if (error instanceof Unreachable) return t("problem.unreachable");
  if (error instanceof MethodError && error.type === "accountReadOnly") return t("problem.readonly");
  return t("problem.other", { detail: error instanceof Error ? error.message : String(error) });
}
