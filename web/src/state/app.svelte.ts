/** The webmail of one person, from logging in to logging out. */

import { HttpError, JmapClient, request, Unreachable, whenExpired, whenRenewed } from "../lib/jmap/client";
import { store } from "../lib/store";
import { Accounts } from "./accounts.svelte";
import { Desk } from "./desk.svelte";
import { settings } from "./settings.svelte";

type Phase = "starting" | "out" | "in" | "expired";

class App {
  phase = $state<Phase>("starting");
  accounts = $state.raw<Accounts | null>(null);
  /** Why the login page is shown, where there is something to say. */
  notice = $state<"closed" | "away" | "expired" | null>(null);
  private renewing: Promise<void> | null = null;

  constructor() {
    whenExpired(() => this.expire());
    whenRenewed(() => void this.renew());
  }

  async start(): Promise<void> {
    try {
      const client = await JmapClient.connect();
      if (this.accounts?.isOf(client)) {
        for (const desk of this.accounts.all) desk.resume();
        this.phase = "in";
        this.notice = null;
        return;
      }
      this.accounts?.stop();
      await onlyOf(client.accountId);
      const accounts = new Accounts(client, (mail, all) => new Desk(mail, all));
      await accounts.start();
      this.accounts = accounts;
      this.phase = "in";
      this.notice = null;
    } catch (error) {
      this.phase = "out";
      if (error instanceof Unreachable) this.notice = "away";
      else if (!(error instanceof HttpError)) throw error;
      else if (error.status === 403) this.notice = "closed";
    }
  }

  /** The session has changed at the server. Asked for once, however often it is told. */
  private renew(): Promise<void> {
    this.renewing ??= this.renewNow().finally(() => (this.renewing = null));
    return this.renewing;
  }

  private async renewNow(): Promise<void> {
    if (this.phase !== "in") return;
    try {
      const client = await JmapClient.connect();
      if (this.accounts?.renew(client)) return;
    } catch {
      return; // it is told again with the next answer
    }
    for (const { composing } of this.accounts?.all ?? []) if (composing.open !== null) await composing.putAway();
    await this.start();
  }

  private expire(): void {
    if (this.phase !== "in") return;
    this.phase = "expired";
    this.notice = "expired";
    for (const desk of this.accounts?.all ?? []) desk.pause();
  }

  /** Raises `HttpError`, `Unreachable`. */
  async logIn(address: string, password: string): Promise<void> {
    await request("/auth/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ address, password }),
    });
    await this.start();
  }

  async logOut(): Promise<void> {
    this.accounts?.stop();
    await request("/auth/logout", { method: "POST" }).catch(() => {});
    await store.clear();
    settings.forget();
    this.accounts = null;
    this.phase = "out";
    this.notice = null;
  }
}

/** What another person's mailbox left in this browser goes before anything of this one comes. */
async function onlyOf(accountId: string): Promise<void> {
  const before = await store.get<string>("meta", "account");
  if (before !== undefined && before !== accountId) await store.clear();
  await store.put("meta", "account", accountId);
}

export const app = new App();
