/** What is going on: looked at when the server says that something changed, and now and then by itself, while seen. */

import { address, Refused } from "../lib/api";
import type { OrganisationOverview, Overview, Primary } from "../lib/types";
import { here } from "./here.svelte";
import { session } from "./session.svelte";

/** The chart's minute goes on and probes are repeated without an event. */
const EVERY_MS = 5_000;
const SETTLE_MS = 300;

class Live {
  overview = $state.raw<Overview | null>(null);
  problem = $state.raw<Refused | null>(null);
  /** Grows whenever something changed: pages that show more than the overview look again. */
  turn = $state(0);
  private stream: EventSource | null = null;
  private timer: ReturnType<typeof setInterval> | undefined;
  private soon: ReturnType<typeof setTimeout> | undefined;
  private asked = 0;

  start(): () => void {
    const shown = () => (document.hidden ? this.rest() : this.watch());
    document.addEventListener("visibilitychange", shown);
    shown();
    return () => {
      document.removeEventListener("visibilitychange", shown);
      this.rest();
      this.overview = null;
    };
  }

  get organisation(): OrganisationOverview | undefined {
    return this.overview?.organisations.find((each) => each.name === here.organisation);
  }

  primary(id: string): Primary | undefined {
    return this.organisation?.primaries.find((each) => each.id === id);
  }

  /** Look now; an answer that a later one overtook counts no more. */
  async look(): Promise<void> {
    const number = ++this.asked;
    try {
      const found = await session.ask<Overview>("GET", "/overview", { organisation: here.place.values.organisation });
      if (number !== this.asked) return;
      this.overview = found;
      this.problem = null;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (number === this.asked) this.problem = error;
    }
  }

  /** After what one did oneself: everything at once. */
  changed(): void {
    this.turn += 1;
    void this.look();
  }

  private watch(): void {
    this.rest();
    void this.look();
    this.timer = setInterval(() => void this.look(), EVERY_MS);
    this.stream = new EventSource(address("/events"));
    for (const name of ["ready", "change"]) this.stream.addEventListener(name, () => this.settle());
  }

  private settle(): void {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.changed(), SETTLE_MS);
  }

  private rest(): void {
    this.stream?.close();
    this.stream = null;
    clearInterval(this.timer);
    clearTimeout(this.soon);
  }
}

export const live = new Live();
