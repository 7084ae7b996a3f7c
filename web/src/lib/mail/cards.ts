/** Contact cards (JSContact, RFC 9553) as far as the webmail shows them. */

import type { EmailAddress, Id } from "../jmap/types";

/** The address book of the organisation's people, which the administrators keep. */
export const DIRECTORY = "directory";

export interface Card {
  id: Id;
  addressBookIds: Record<Id, true>;
  name?: { full?: string; components?: { kind?: string; value: string }[] };
  emails?: Record<string, Place & { address: string }>;
  phones?: Record<string, Place & { number: string }>;
  organizations?: Record<string, { name?: string }>;
  titles?: Record<string, { name: string }>;
  addresses?: Record<string, Place & { full?: string; components?: { value: string }[] }>;
  notes?: Record<string, { note: string }>;
}

/** Where an address or a number reaches somebody (RFC 9553 §1.5.1). */
export interface Place {
  contexts?: Record<string, true> | null;
}

export const CARD_PROPERTIES: readonly (keyof Card)[] = ["id", "addressBookIds", "name", "emails"];

export function isOwn({ addressBookIds }: Card): boolean {
  return !(DIRECTORY in addressBookIds);
}

/** Its name in one line, or null. */
export function nameOf({ name }: Card): string | null {
  const parts = (name?.components ?? []).filter(({ kind }) => kind !== "separator").map(({ value }) => value);
  return (name?.full ?? parts.join(" ")).trim() || null;
}

/** One for each of its addresses. */
export function peopleOn(card: Card): EmailAddress[] {
  const name = nameOf(card);
  return Object.values(card.emails ?? {}).map(({ address }) => ({ name, email: address }));
}

/** A new card of somebody. */
export function cardOf({ name, email }: EmailAddress): Omit<Card, "id" | "addressBookIds"> & Record<string, unknown> {
  return { "@type": "Card", version: "1.0", kind: "individual", name: { full: name || email }, emails: { e1: { address: email } } };
}
