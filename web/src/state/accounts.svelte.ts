/** The mailboxes of one person: their own and those shared with them, each with a desk; and what belongs to the person. */

import type { JmapClient } from "../lib/jmap/client";
import { Push } from "../lib/jmap/push";
import type { Id } from "../lib/jmap/types";
import type { Desk } from "./desk.svelte";
import { Contacts } from "./contacts.svelte";
import { Mail } from "./mail.svelte";
import { t } from "./i18n.svelte";
import { route } from "./route.svelte";
import { settings } from "./settings.svelte";
import { Standing } from "./standing.svelte";
import { toasts } from "./toasts.svelte";

export class Accounts {
  readonly own: Desk;
  /** In order of their names; others where the session has changed. */
  shared = $state.raw<readonly Desk[]>([]);
  readonly standing = new Standing();
  readonly contacts: Contacts;
  private push: Push | null = null;

  constructor(client: JmapClient, private readonly makeDesk: (mail: Mail, accounts: Accounts) => Desk) {
    this.contacts = new Contacts(client);
    this.own = this.makeDesk(new Mail(client), this);
    this.shared = client.others().map((other) => this.makeDesk(new Mail(other), this));
  }

  get all(): readonly Desk[] {
    return [this.own, ...this.shared];
  }

  /** The desk that is in front of the person. */
  get here(): Desk {
    return this.shared.find((desk) => desk.place === route.place.account) ?? this.own;
  }

  /** Raises `HttpError`, `Unreachable` where the person's own mailbox, or the one to be shown, cannot be opened. */
  async start(): Promise<void> {
    // A mailbox that is shared no longer is no place to be.
    if (this.here.place !== route.place.account) route.go({ account: null, folder: null, query: "", thread: null }, "replace");
    await Promise.all([this.own.mail.start(), this.here.mail.start()]);
    this.own.mail.listen("Settings", () => void settings.load());
    void settings.connect(this.own.mail.client);
    this.standing.start();
    this.push = new Push(this.own.mail.client, (changed) => this.tell(changed));
  }

  stop(): void {
    this.standing.stop();
    this.push?.close();
    for (const { mail } of this.all) mail.stop();
  }

  /** Whether these are the mailboxes of that client, with the same rights. */
  isOf(client: JmapClient): boolean {
    const clients = [client, ...client.others()];
    return clients.length === this.all.length && this.all.every(({ mail }, at) => mail.isOf(clients[at]!));
  }

  /**
   * The session has changed: mailboxes that are shared with the person come, go, or have other rights. What is the same
   * stays as it is. False where the person's own mailbox is another, or has other rights: nothing was done then.
   */
  renew(client: JmapClient): boolean {
    if (!this.own.mail.isOf(client)) return false;
    const wanted = client.others();
    const same = (desk: Desk): boolean => wanted.some((one) => desk.mail.isOf(one));
    const gone = this.shared.filter((desk) => !same(desk));
    const left = gone.find((desk) => desk.isHere && !wanted.some((one) => one.accountId === desk.place));
    for (const desk of [this.own, ...this.shared]) desk.mail.client.adopt(client.session);
    for (const desk of gone) void desk.leave();
    this.shared = wanted.map((one) => this.shared.find((desk) => desk.mail.isOf(one)) ?? this.makeDesk(new Mail(one), this));
    if (left !== undefined) {
      toasts.show(t("shared.left", { name: left.mail.sharedName ?? "" }));
      this.own.goTo("inbox", "replace");
    }
    for (const desk of this.shared) if (!desk.mail.isStarted) desk.mail.told(null);
    return true;
  }

  /** One message is written at a time: what was being written elsewhere goes to its drafts. */
  writeOnlyAt(desk: Desk): void {
    for (const other of this.all) if (other !== desk && other.composing.open !== null) void other.composing.putAway();
  }

  private tell(changed: Record<Id, Record<string, string>> | null): void {
    for (const { mail } of this.all) {
      const types = changed === null ? null : changed[mail.client.accountId];
      if (types !== undefined) mail.told(types);
    }
  }
}
