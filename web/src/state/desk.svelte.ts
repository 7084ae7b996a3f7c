/** One mailbox, and what a person does in it: where they are, what is chosen, and what an action is about. */

import { HttpError, MethodError, Unreachable } from "../lib/jmap/client";
import { toFilter } from "../lib/mail/search";
import type { EmailSummary, Id, Role } from "../lib/jmap/types";
import type { Accounts } from "./accounts.svelte";
import { Actions } from "./actions.svelte";
import { Composing } from "./composing.svelte";
import type { Contacts } from "./contacts.svelte";
import { t } from "./i18n.svelte";
import { List, type Source } from "./list.svelte";
import { reasonOf, type Mail } from "./mail.svelte";
import { Outbox } from "./outbox.svelte";
import { People } from "./people";
import { route } from "./route.svelte";
import { settings } from "./settings.svelte";
import type { Standing } from "./standing.svelte";
import { toasts } from "./toasts.svelte";
import { Vacation } from "./vacation.svelte";

export type Sheet = "keys" | "search" | "settings" | "move" | "scheduled" | "vacation" | "labels" | "filters" | "quarantine" | null;

/** One mailbox, and what a person does in it. */
export class Desk {
  readonly outbox: Outbox;
  readonly vacation: Vacation;
  readonly composing: Composing;
  readonly actions: Actions;
  readonly people: People;
  list = $state.raw<List>(null!);
  sheet = $state<Sheet>(null);
  /** Somebody has to log in again before it goes on. */
  isPaused = $state(false);
  /** For people who do not see it: what just happened. */
  said = $state("");

  constructor(
    readonly mail: Mail,
    readonly accounts: Accounts,
  ) {
    this.outbox = new Outbox(mail);
    this.vacation = new Vacation(mail);
    this.composing = new Composing(mail, this.outbox, () => accounts.writeOnlyAt(this));
    this.actions = new Actions(mail, () => this.list);
    this.people = new People(mail, accounts.contacts);
    this.list = new List(mail, this.source());
    mail.onReturn = () => {
      void this.composing.open?.save();
      void this.list.refresh();
    };
    mail.onChange = (created) => void this.hasChanged(created);
  }

  get standing(): Standing {
    return this.accounts.standing;
  }

  get contacts(): Contacts {
    return this.accounts.contacts;
  }

  /** How the route names this mailbox. */
  get place(): Id | null {
    return this.mail.sharedName === null ? null : this.mail.client.accountId;
  }

  get isHere(): boolean {
    return this.accounts.here === this;
  }

  /** Whom a new message is from: this mailbox, or else the person; null: nobody may write. */
  get writer(): Desk | null {
    return [this, this.accounts.own].find(({ mail }) => mail.maySend) ?? null;
  }

  /** The person has come to this mailbox: show what the place asks for. */
  async arrive(): Promise<void> {
    const wasStarted = this.mail.isStarted;
    const isNowhere = (): boolean => route.place.folder === null && route.place.query === "";
    if (!isNowhere()) this.open(this.source());
    try {
      await this.mail.start();
      if (!wasStarted) this.mail.told(null);
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof HttpError || error instanceof MethodError)) throw error;
      toasts.problem(reasonOf(error));
      return;
    }
    if (this.isHere && isNowhere()) this.goTo("inbox", "replace");
  }

  /** The mailbox is not this person's to use any more: what was being written goes to its drafts where it still may. */
  async leave(): Promise<void> {
    this.sheet = null;
    if (this.composing.open !== null) await this.composing.putAway();
    this.mail.stop();
  }

  /** The login has ended: everything stays as it is, out of sight. */
  pause(): void {
    this.isPaused = true;
    this.sheet = null;
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  }

  /** Logged in again: what could not be done meanwhile is done. */
  resume(): void {
    this.isPaused = false;
    if (!this.mail.isStarted) return;
    void this.composing.open?.save();
    this.mail.hear(null);
    void this.list.refresh();
  }

  /** What the place asks for. */
  source(): Source {
    const { folder, query } = route.place;
    const { threads } = settings;
    if (query === "") return { filter: folder === null ? {} : { inMailbox: folder }, folder, threads };
    const filter = toFilter(query, this.mail.folders, null) ?? {};
    return { filter, folder: null, threads };
  }

  open(source: Source): void {
    this.list = new List(this.mail, source);
    void this.list.load();
  }

  goTo(role: Role, how: "push" | "replace" = "push"): void {
    const folder = this.mail.withRole(role);
    if (folder !== undefined) route.go({ account: this.place, folder: folder.id, query: "", thread: null }, how);
  }

  openRow(index: number, how: "push" | "replace" = "push"): void {
    const email = this.list.email(index);
    if (email === undefined) return;
    this.list.cursor = index;
    if (this.mail.folder(this.list.source.folder)?.role === "drafts" && this.mail.maySend) {
      void this.composing.edit(email.id);
      return;
    }
    route.go({ thread: email.threadId }, how);
  }

  /** To the next conversation, or the one before; opened where one is open. */
  step(by: 1 | -1): void {
    const next = Math.min(Math.max(this.list.cursor + by, 0), this.list.rows.length - 1);
    if (next < 0) return;
    this.list.cursor = next;
    if (route.place.thread !== null) this.openRow(next, "replace");
  }

  /** What an action is about: those selected, else the one open or pointed at. */
  chosen(): EmailSummary[] {
    const { list, mail } = this;
    if (list.selected.size > 0) return [...list.selected].map((id) => mail.emails.get(id)).filter((email) => email !== undefined);
    const open = route.place.thread;
    // A conversation may stay open after its row has left the list: then its newest email stands for it.
    const email = open === null ? list.email(list.cursor) : (list.email(list.indexOfThread(open)) ?? mail.ofThread(open).at(-1));
    return email === undefined ? [] : [email];
  }

  /** Perform on what is chosen; where it leaves the list, the next conversation opens in its place. */
  act(what: (rows: EmailSummary[]) => void): void {
    const rows = this.chosen();
    if (rows.length === 0) return;
    const before = this.list.rows.length;
    what(rows);
    this.list.selected.clear();
    if (this.list.rows.length < before && route.place.thread !== null) this.openInstead();
  }

  private openInstead(): void {
    const { list } = this;
    const email = list.email(list.cursor);
    // Where the list is out of sight while one reads, it is what one comes back to.
    const hidesList = settings.readingPane === "none" || matchMedia("(max-width: 759px)").matches;
    if (email === undefined || hidesList) route.go({ thread: null }, "replace");
    else route.go({ thread: email.threadId }, "replace");
  }

  private async hasChanged(created: ReadonlySet<Id>): Promise<void> {
    const { list } = this;
    const before = new Set(list.rows.slice(0, 50));
    await list.refresh();
    const fresh = list.rows.slice(0, 50).filter((id) => id !== undefined && created.has(id) && !before.has(id));
    if (fresh.length > 0) this.said = t("list.new", { count: fresh.length });
  }
}
