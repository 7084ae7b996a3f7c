/** What of a contact its form shows, and the change of the card that comes of it; what it does not show stays. */

import { isAddress } from "./address";
import { nameOf, type Card, type Place } from "./cards";

export const CONTEXTS = ["", "work", "private"] as const;
export type Context = (typeof CONTEXTS)[number];

/** An address or a number; `key` is its place on the card, null: it is new. */
export interface Line {
  key: string | null;
  value: string;
  context: Context;
}

export interface CardForm {
  name: string;
  organisation: string;
  title: string;
  emails: Line[];
  phones: Line[];
  note: string;
}

export type FormProblem = { about: "name" } | { about: "email"; index: number };

type Entries = Record<string, object>;

/** The form of a card; of a new one where there is none. */
export function formOf(card: Card | null): CardForm {
  return {
    name: (card === null ? null : nameOf(card)) ?? "",
    organisation: first(card?.organizations)?.[1].name ?? "",
    title: first(card?.titles)?.[1].name ?? "",
    emails: lines(card?.emails, ({ address }) => address),
    phones: lines(card?.phones, ({ number }) => number),
    note: first(card?.notes)?.[1].note ?? "",
  };
}

export function emptyLine(): Line {
  return { key: null, value: "", context: "" };
}

/** The first thing that is wrong, or null. A card without a name takes that of its organisation or address. */
export function problemOf(form: CardForm): FormProblem | null {
  const index = form.emails.findIndex(({ value }) => value.trim() !== "" && !isAddress(value.trim()));
  if (index >= 0) return { about: "email", index };
  const isEmpty = [form.name, form.organisation, ...form.emails.map(({ value }) => value), ...form.phones.map(({ value }) => value)].every((text) => text.trim() === "");
  return isEmpty ? { about: "name" } : null;
}

/** A patch (RFC 8620 §5.3) of those properties that the form changes. */
export function patchOf(form: CardForm, card: Card | null): Record<string, unknown> {
  const before = formOf(card);
  const patch: Record<string, unknown> = {};
  const name = form.name.trim();
  if (name !== before.name) patch.name = name === "" ? null : { full: name };
  change(patch, "organizations", card?.organizations, withFirst(card?.organizations, "o1", "name", form.organisation));
  change(patch, "titles", card?.titles, withFirst(card?.titles, "t1", "name", form.title));
  change(patch, "notes", card?.notes, withFirst(card?.notes, "n1", "note", form.note));
  change(patch, "emails", card?.emails, withLines(card?.emails, form.emails, "address"));
  change(patch, "phones", card?.phones, withLines(card?.phones, form.phones, "number"));
  return patch;
}

/** A card that the form makes anew. */
export function newCard(form: CardForm): Record<string, unknown> {
  return { "@type": "Card", version: "1.0", kind: "individual", ...patchOf(form, null) };
}

function change(patch: Record<string, unknown>, name: string, before: Entries | undefined, after: Entries): void {
  if (JSON.stringify(before ?? {}) !== JSON.stringify(after)) patch[name] = Object.keys(after).length === 0 ? null : after;
}

function first<T>(entries: Record<string, T> | undefined): [string, T] | undefined {
  return Object.entries(entries ?? {})[0];
}

function withFirst(entries: Entries | undefined, newKey: string, field: string, text: string): Entries {
  const [key, old] = first(entries) ?? [newKey, {}];
  const { [key]: _, ...others } = entries ?? {};
  const value = text.trim();
  if (value !== "") return { [key]: { ...old, [field]: value }, ...others };
  // A unit of an organisation that has no name of its own is not shown, and stays.
  return field in old || entries === undefined ? others : entries;
}

function lines<T extends Place>(entries: Record<string, T> | undefined, valueOf: (entry: T) => string): Line[] {
  return Object.entries(entries ?? {}).map(([key, entry]) => ({ key, value: valueOf(entry), context: contextOf(entry) }));
}

export function contextOf({ contexts }: Place): Context {
  return CONTEXTS.find((context) => context !== "" && context in (contexts ?? {})) ?? "";
}

function withLines(entries: Record<string, Place> | undefined, wanted: readonly Line[], field: string): Entries {
  const made: Entries = {};
  for (const { key, value, context } of wanted) {
    if (value.trim() === "") continue;
    const old = key === null ? {} : (entries?.[key] ?? {});
    made[key ?? freeKey(field[0]!, { ...entries, ...made })] = { ...withContext(old, context), [field]: value.trim() };
  }
  return made;
}

function withContext(entry: Place, context: Context): Place {
  if (contextOf(entry) === context) return entry;
  const { contexts: _, ...others } = entry;
  return context === "" ? others : { ...others, contexts: { [context]: true } };
}

function freeKey(prefix: string, taken: Entries): string {
  for (let number = 1; ; number += 1) if (!(`${prefix}${number}` in taken)) return `${prefix}${number}`;
}
