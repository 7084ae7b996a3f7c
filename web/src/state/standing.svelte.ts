/** What is going on with the person's mail server (GET /api/v1/standby). */

import { request } from "../lib/jmap/client";

export interface StandingAnswer {
  access: boolean;
  master: "standby" | "primary";
  state: "trusted" | "down" | "suspect" | "compromised" | "recovering" | null;
  since: string | null;
  organisation: string;
  /** Domains of the organisation, for telling who is outside it. */
  domains?: string[];
  address: string;
  name: string;
}

const ASK_EVERY_MS = 30_000;

export class Standing {
  now = $state.raw<StandingAnswer | null>(null);
  private timer: ReturnType<typeof setInterval> | undefined;

  start(): void {
    void this.ask();
    this.timer = setInterval(() => void this.ask(), ASK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async ask(): Promise<void> {
    try {
      this.now = (await (await request("/api/v1/standby")).json()) as StandingAnswer;
    } catch {
      // The bar keeps what was last known; that nothing can be reached is told elsewhere.
    }
  }
}
