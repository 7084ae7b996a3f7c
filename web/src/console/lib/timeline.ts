/** A message's trace, in the order of time. */

import type { AuditEvent, DeliveryShown, MessageTrace } from "./types";

export type Step =
  | { kind: "accepted"; at: string }
  | { kind: "entry"; at: string; who: string; folders: string[] }
  | { kind: "failure"; at: string; delivery: DeliveryShown; remote: string; outcome: string; reply: string; attempt: number }
  | { kind: "done"; at: string; delivery: DeliveryShown }
  | { kind: "event"; at: string; event: AuditEvent }
  | { kind: "waiting"; at: string; delivery: DeliveryShown }
  | { kind: "held"; at: string | null; delivery: DeliveryShown };

/** What is still to come stands last. */
export function timeline(trace: MessageTrace): Step[] {
  const past: Step[] = [
    { kind: "accepted", at: trace.message.received_at },
    ...trace.entries.map((entry): Step => ({ kind: "entry", at: entry.received_at, who: entry.address ?? entry.mailbox, folders: entry.folders })),
    ...trace.deliveries.flatMap(attempts),
    ...trace.events.filter((event) => event.action !== "intake.accept").map((event): Step => ({ kind: "event", at: event.at, event })),
  ];
  past.sort((a, b) => Date.parse(a.at ?? "") - Date.parse(b.at ?? "")); // keeps the order of what happened at once
  return [...past, ...trace.deliveries.flatMap(ahead)];
}

function attempts(delivery: DeliveryShown): Step[] {
  const failures = delivery.failures.map((each): Step => ({ kind: "failure", delivery, ...each }));
  return delivery.done_at === null ? failures : [...failures, { kind: "done", at: delivery.done_at, delivery }];
}

function ahead(delivery: DeliveryShown): Step[] {
  if (delivery.status === "held") return [{ kind: "held", at: null, delivery }];
  if (delivery.status === "queued") return [{ kind: "waiting", at: delivery.next_attempt_at, delivery }];
  return [];
}
