/** The queue's counts, a row for each lane. */

import type { LaneCount, OrganisationOverview } from "./types";

export interface LaneRow {
  lane: string;
  queued: number;
  held: { reason: string; count: number }[];
  oldest: string;
  next: string | null;
}

/** The busiest first. */
export function byLane(counts: readonly LaneCount[]): LaneRow[] {
  const rows = new Map<string, LaneRow>();
  for (const each of counts) {
    const row = rows.get(each.lane) ?? { lane: each.lane, queued: 0, held: [], oldest: each.oldest, next: null };
    rows.set(each.lane, row);
    if (each.oldest < row.oldest) row.oldest = each.oldest;
    if (each.status === "held") row.held.push({ reason: each.hold_reason ?? "", count: each.count });
    else {
      row.queued += each.count;
      if (each.next !== null && (row.next === null || each.next < row.next)) row.next = each.next;
    }
  }
  return [...rows.values()].sort((a, b) => total(b) - total(a) || a.lane.localeCompare(b.lane));
}

export function open(counts: readonly LaneCount[], status: "queued" | "held"): number {
  return counts.filter((each) => each.status === status).reduce((sum, each) => sum + each.count, 0);
}

export interface Affected {
  organisations: number;
  primaries: number;
  domains: number;
  mailboxes: number;
}

/** Whom it concerns that a primary is not as it should be, or that an activation takes its mail. */
export function affected(organisations: readonly OrganisationOverview[]): Affected {
  const sum: Affected = { organisations: 0, primaries: 0, domains: 0, mailboxes: 0 };
  for (const organisation of organisations) {
    const ill = organisation.primaries.filter((primary) => primary.trust_state !== "trusted" || primary.activated);
    sum.organisations += ill.length > 0 ? 1 : 0;
    sum.primaries += ill.length;
    sum.domains += ill.reduce((count, primary) => count + primary.domains, 0);
    sum.mailboxes += ill.reduce((count, primary) => count + primary.mailboxes, 0);
  }
  return sum;
}

function total(row: LaneRow): number {
  return row.queued + row.held.reduce((sum, each) => sum + each.count, 0);
}
