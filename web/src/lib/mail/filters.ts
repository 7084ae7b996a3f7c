/** A person's filters as the server shows them (docs/jmap-filters.md). Pure. */

import type { EmailAddress, Id } from "../jmap/types";

export type Field = "from" | "recipients" | "subject" | "listId" | "attachment" | "size";
export type Comparison = "contains" | "is" | "domain" | "present" | "larger";

export interface FilterCondition {
  field: Field;
  comparison: Comparison;
  value: string;
  /** Octets. */
  size: number;
  isNegated: boolean;
}

export interface MailFilter {
  /** Null: not saved yet. */
  id: Id | null;
  name: string;
  isEnabled: boolean;
  sortOrder: number;
  match: "all" | "any";
  conditions: FilterCondition[];
  mailboxId: Id | null;
  keywords: Record<string, true>;
  forwardTo: string | null;
  stop: boolean;
  problems: Problem[];
}

export type Problem =
  | "mailboxGone"
  | "forwardForbidden"
  | "forwardNoSuchAddress"
  | "forwardSameMailbox"
  | "forwardLimit"
  | "forwardLoop"
  | "forwardClosed"
  | "forwardUnreadable";

/** How far filters may pass mail on. */
export type Forwarding = "none" | "inside" | "anywhere";

export const COMPARISONS: Record<Field, Comparison[]> = {
  from: ["contains", "is", "domain"],
  recipients: ["contains", "is", "domain"],
  subject: ["contains", "is"],
  listId: ["contains", "is"],
  attachment: ["present"],
  size: ["larger"],
};
export const FIELDS = Object.keys(COMPARISONS) as Field[];
export const MAX_CONDITIONS = 20;
export const MEGABYTE = 1_000_000;

export function newCondition(field: Field = "from", value = ""): FilterCondition {
  return { field, comparison: COMPARISONS[field][0]!, value, size: field === "size" ? MEGABYTE : 0, isNegated: false };
}

/** The same condition about something else; the text stays where it can. */
export function aboutField(condition: FilterCondition, field: Field): FilterCondition {
  const comparison = COMPARISONS[field].includes(condition.comparison) ? condition.comparison : COMPARISONS[field][0]!;
  return { ...newCondition(field, hasText(field) ? condition.value : ""), comparison, isNegated: condition.isNegated };
}

export function hasText(field: Field): boolean {
  return field !== "attachment" && field !== "size";
}

export function newFilter(sortOrder: number): MailFilter {
  return {
    id: null, name: "", isEnabled: true, sortOrder, match: "all", conditions: [newCondition()], mailboxId: null,
    keywords: {}, forwardTo: null, stop: false, problems: [],
  };
}

/** One for messages like this: of the same list, or else of the same sender. */
export function filterLike(sortOrder: number, sender: EmailAddress | undefined, listId: string | null): MailFilter {
  const list = listIdOf(listId);
  const value = list || sender?.email || "";
  const condition: FilterCondition = { ...newCondition(list ? "listId" : "from", value), comparison: "is" };
  return { ...newFilter(sortOrder), name: list || sender?.name || value, conditions: [condition] };
}

/** What stands between the brackets of a List-Id field (RFC 2919). */
export function listIdOf(field: string | null): string {
  const text = field?.trim() ?? "";
  return /<([^<>]*)>[^<>]*$/.exec(text)?.[1]?.trim() ?? text;
}

export function doesSomething(filter: MailFilter): boolean {
  return filter.mailboxId !== null || Object.keys(filter.keywords).length > 0 || !!filter.forwardTo || filter.stop;
}
