/** Says when something has changed: by EventSource (RFC 8620 §7.3), or by asking where that is not to be had. */

import type { JmapClient } from "./client";
import type { Id, StateChange, TypeState } from "./types";

const PING_S = 30;
const ASK_EVERY_MS = 20_000;
const AGAIN_AFTER_MS = 3_000;
const GIVE_UP_AFTER = 5;

export class Push {
  private source: EventSource | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private closed = false;

  constructor(
    private readonly client: JmapClient,
    /** Told what changed in which account; null: anything may have. */
    private readonly changed: (accounts: Record<Id, TypeState> | null) => void,
  ) {
    this.open();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.source?.close();
  }

  private open(): void {
    const source = new EventSource(this.client.eventUrl("Email,Mailbox,Thread,EmailDelivery,EmailSubmission,VacationResponse,Filter,ContactCard,AddressBook,Settings", PING_S));
    this.source = source;
    source.onopen = () => {
      // What happened while nobody listened is asked for: before the first opening too, and when the browser
      // opened the stream again by itself.
      this.changed(null);
      this.failures = 0;
    };
    source.addEventListener("state", (event) => {
      this.changed((JSON.parse(event.data as string) as StateChange).changed);
    });
    source.addEventListener("session", (event) => {
      this.client.heard((JSON.parse(event.data as string) as { sessionState: string }).sessionState);
    });
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED || this.closed) return;
      this.failures += 1;
      this.timer = setTimeout(() => this.again(), this.failures > GIVE_UP_AFTER ? ASK_EVERY_MS : AGAIN_AFTER_MS);
    };
  }

  private again(): void {
    this.changed(null); // the stream may stay closed: asking is all there is then
    this.open();
  }
}
