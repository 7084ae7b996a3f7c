/** Patches of emails (RFC 8620 §5.3), applied here as the server will, and turned back. */

import type { EmailSummary, Id, Patch } from "./types";

export function keyword(name: string, on: boolean): Patch {
  return { [`keywords/${escape(name)}`]: on || null };
}

/** Out of `from` (or out of everything, where it is null) and into `to`. */
export function move(from: Id | null, to: Id): Patch {
  return from === null ? { mailboxIds: { [to]: true } } : { [`mailboxIds/${from}`]: null, [`mailboxIds/${to}`]: true };
}

/** The email as it is after a patch of its keywords and folders. */
export function patched(email: EmailSummary, patch: Patch): EmailSummary {
  const keywords: Record<string, true> = { ...((patch.keywords as Record<string, true> | undefined) ?? email.keywords) };
  const mailboxIds: Record<Id, true> = { ...((patch.mailboxIds as Record<Id, true> | undefined) ?? email.mailboxIds) };
  for (const [path, value] of Object.entries(patch)) {
    const slash = path.indexOf("/");
    if (slash < 0) continue;
    const target: Record<string, true> = path.startsWith("keywords/") ? keywords : mailboxIds;
    const name = unescape(path.slice(slash + 1));
    if (value === true) target[name] = true;
    else delete target[name];
  }
  return { ...email, keywords, mailboxIds };
}

/** What makes `after` what `before` was. */
export function reverse(before: EmailSummary, after: EmailSummary): Patch {
  return { ...differences("keywords", before.keywords, after.keywords), ...differences("mailboxIds", before.mailboxIds, after.mailboxIds) };
}

function differences(property: string, before: Record<string, true>, after: Record<string, true>): Patch {
  const patch: Patch = {};
  for (const name of Object.keys(before)) if (!(name in after)) patch[`${property}/${escape(name)}`] = true;
  for (const name of Object.keys(after)) if (!(name in before)) patch[`${property}/${escape(name)}`] = null;
  return patch;
}

function escape(name: string): string {
  return name.replace(/~/g, "~0").replace(/\//g, "~1");
}

function unescape(name: string): string {
  return name.replace(/~1/g, "/").replace(/~0/g, "~");
}
