/** Whom a recipient field offers, and in which order. */

import type { EmailAddress } from "../jmap/types";

/** Where somebody is known from; the nearer, the sooner they are offered. */
export type Origin = "met" | "contact" | "directory";

export interface Known {
  person: EmailAddress;
  origin: Origin;
}

/** A meeting counts half of what it did after so long. */
const HALF_LIFE_MS = 30 * 86_400_000;
/** Whom one wrote to oneself is meant more often than who wrote. */
const WRITTEN_TO = 3;
const DISTANCE: Record<Origin, number> = { met: 0, contact: 1, directory: 2 };

/** What one email of the time `at` adds to somebody's weight. */
export function weightOf(at: number, now: number, byMe: boolean): number {
  return (byMe ? WRITTEN_TO : 1) * 0.5 ** (Math.max(0, now - at) / HALF_LIFE_MS);
}

/** Case and accents do not count, as in the server's own search. */
export function fold(text: string): string {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/** Whether each word of `typed` begins a word of the name or of the address, or the address itself. */
export function matches({ name, email }: EmailAddress, typed: string): boolean {
  const starts = fold(typed).split(/\s+/).filter(Boolean);
  const address = fold(email);
  const words = [address, ...`${fold(name ?? "")} ${address}`.split(/[\s@.,_-]+/)];
  return starts.length > 0 && starts.every((start) => words.some((word) => word.startsWith(start)));
}

/**
 * Each address once: those met first, by their weight, then one's own contacts, then the directory, both by name. The
 * name that one gave a contact oneself is the one shown.
 */
export function rank(known: readonly Known[], weights: ReadonlyMap<string, number>): EmailAddress[] {
  const found = new Map<string, Known>();
  for (const one of [...known].sort(nearestFirst)) {
    const key = one.person.email.toLowerCase();
    const before = found.get(key);
    if (before === undefined) found.set(key, one);
    else if (one.person.name && (one.origin === "contact" || !before.person.name)) found.set(key, { ...before, person: { ...before.person, name: one.person.name } });
  }
  const weight = ({ person }: Known): number => weights.get(person.email.toLowerCase()) ?? 0;
  const nameOf = ({ person }: Known): string => person.name ?? person.email;
  return [...found.values()]
    .sort((one, other) => nearestFirst(one, other) || weight(other) - weight(one) || nameOf(one).localeCompare(nameOf(other)))
    .map(({ person }) => person);
}

function nearestFirst(one: Known, other: Known): number {
  return DISTANCE[one.origin] - DISTANCE[other.origin];
}
