/** Who is logged in. A session that ends leads to the login, and back to where one was. */

import { call, Refused, type Query } from "../lib/api";
import type { Me } from "../lib/types";

type Phase = "starting" | "out" | "in";

class Session {
  phase = $state<Phase>("starting");
  me = $state.raw<Me | null>(null);
  /** Why the login page is shown, where there is something to say. */
  notice = $state<"ended" | "away" | null>(null);

  async start(): Promise<void> {
    try {
      this.begin(await call<Me>("GET", "/me"));
    } catch (error) {
      this.phase = "out";
      this.notice = error instanceof Refused && error.status === 401 ? null : "away";
    }
  }

  /** Raises `Refused`. */
  async logIn(name: string, password: string): Promise<void> {
    this.begin(await call<Me>("POST", "/login", {}, { name, password }));
  }

  /** Raises `Refused`: then one is still logged in. */
  async logOut(): Promise<void> {
    await call("POST", "/logout");
    this.leave(null);
  }

  /** A call of somebody who is logged in. Raises `Refused`. */
  async ask<T>(method: "GET" | "POST", path: string, query: Query = {}, body?: unknown): Promise<T> {
    try {
      return await call<T>(method, path, query, body);
    } catch (error) {
      if (error instanceof Refused && error.status === 401 && this.phase === "in") this.leave("ended");
      throw error;
    }
  }

  private begin(me: Me): void {
    this.me = me;
    this.phase = "in";
    this.notice = null;
  }

  private leave(notice: "ended" | null): void {
    this.me = null;
    this.phase = "out";
    this.notice = notice;
  }
}

export const session = new Session();
