/** Labels are keywords of one's own (RFC 8621 §4.1.1): a name, written so that a keyword can hold it. */

import type { EmailSummary } from "../jmap/types";

export const LONGEST_NAME = 60;
/** Keywords without `$` that mail programs set for their own ends. */
const OTHERS = new Set(["junk", "nonjunk", "notjunk", "forwarded", "mdnsent", "redirected", "old", "recent"]);

/** `Büro 2` → `b+c3+bcro_2`: keywords are printable ASCII in lower case. */
export function toKeyword(name: string): string {
  const octets = new TextEncoder().encode(name.trim().replace(/\s+/g, " ").toLowerCase().normalize("NFC"));
  return [...octets].map((octet) => {
    const letter = String.fromCharCode(octet);
    if (/[a-z0-9.-]/.test(letter)) return letter;
    return letter === " " ? "_" : `+${octet.toString(16).padStart(2, "0")}`;
  }).join("");
}

/** The name a keyword holds; of one that somebody else made up, the keyword itself. */
export function toName(keyword: string): string {
  const octets: number[] = [];
  for (const [part] of keyword.matchAll(/\+[0-9a-f]{2}|[^]/g)) octets.push(part.length === 3 ? parseInt(part.slice(1), 16) : part === "_" ? 32 : part.charCodeAt(0));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(octets));
  } catch {
    return keyword;
  }
}

export function isLabel(keyword: string): boolean {
  return !keyword.startsWith("$") && !OTHERS.has(keyword);
}

/** Those of any of the emails, in order of their names. */
export function labelsOf(emails: readonly EmailSummary[]): string[] {
  const found = new Set(emails.flatMap(({ keywords }) => Object.keys(keywords).filter(isLabel)));
  return [...found].sort((one, other) => toName(one).localeCompare(toName(other)));
}
