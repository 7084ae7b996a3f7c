/** What a failback would do, added up. */

import type { MailboxPreview } from "./types";

export const WORK = ["inbound", "appends", "flags", "moves", "deletions", "folders"] as const;
export type Work = (typeof WORK)[number];

export function totals(mailboxes: readonly MailboxPreview[]): Record<Work | "inbound_octets", number> {
  const sum = { inbound: 0, inbound_octets: 0, appends: 0, flags: 0, moves: 0, deletions: 0, folders: 0 };
  for (const mailbox of mailboxes) {
    for (const name of [...WORK, "inbound_octets"] as const) sum[name] += mailbox[name];
  }
  return sum;
}
