/** What a person types into the search field, as a JMAP filter (RFC 8621 §4.4.1). */

import { toKeyword } from "./labels";
import type { Condition, Filter, Id, Mailbox } from "../jmap/types";

export interface Words {
  operator: string | null;
  value: string;
  negated: boolean;
}

/** Operators the search field knows; `is:` and `has:` take the values listed in the help. */
export const OPERATORS = ["from", "to", "cc", "subject", "in", "label", "has", "is", "before", "after", "larger", "smaller"] as const;

const WORD = /(-?)(?:([a-z]+):)?(?:"([^"]*)"?|(\S+))/giy;
const MAX_WORDS = 40;

/** The parts of a query, in order: `-from:"Ann Lee" offer` → two of them. */
export function split(text: string): Words[] {
  const found: Words[] = [];
  WORD.lastIndex = 0;
  let rest = 0;
  while (found.length < MAX_WORDS) {
    while (/\s/.test(text[rest] ?? "")) rest += 1;
    WORD.lastIndex = rest;
    const match = WORD.exec(text);
    if (match === null) break;
    rest = WORD.lastIndex;
    const name = match[2]?.toLowerCase() ?? null;
    const known = name !== null && (OPERATORS as readonly string[]).includes(name);
    const value = match[3] ?? match[4] ?? "";
    found.push({ operator: known ? name : null, value: known || name === null ? value : `${name}:${value}`, negated: match[1] === "-" });
  }
  return found.filter((words) => words.value !== "");
}

/** A filter for `text`, or null where it asks for nothing. `here`: the folder to stay in unless `in:` says otherwise. */
export function toFilter(text: string, folders: readonly Mailbox[], here: Id | null): Filter | null {
  const conditions: Filter[] = [];
  let places: Id | null = here;
  const free: string[] = [];
  for (const words of split(text)) {
    if (words.operator === null && !words.negated) {
      free.push(words.value);
      continue;
    }
    if (words.operator === "in") {
      places = words.value.toLowerCase() === "anywhere" ? null : (folderNamed(words.value, folders)?.id ?? places);
      continue;
    }
    const condition = words.operator === null ? { text: words.value } : conditionOf(words.operator, words.value);
    if (condition === null) free.push(words.value);
    else conditions.push(words.negated ? { operator: "NOT", conditions: [condition] } : condition);
  }
  if (free.length > 0) conditions.push({ text: free.join(" ") });
  if (conditions.length === 0 && places === here) return null;
  if (places !== null) conditions.push({ inMailbox: places });
  if (conditions.length === 0) return {};
  return conditions.length === 1 ? conditions[0]! : { operator: "AND", conditions };
}

function folderNamed(name: string, folders: readonly Mailbox[]): Mailbox | undefined {
  const wanted = name.toLowerCase();
  return folders.find((folder) => folder.role === wanted || folder.name.toLowerCase() === wanted);
}

function conditionOf(operator: string, value: string): Condition | null {
  switch (operator) {
    case "from":
    case "to":
    case "cc":
    case "subject":
      return { [operator]: value };
    case "label":
      return { hasKeyword: toKeyword(value) };
    case "has":
      return /^attachments?$/i.test(value) ? { hasAttachment: true } : null;
    case "is":
      return stateOf(value.toLowerCase());
    case "before":
    case "after": {
      const day = dayOf(value);
      return day === null ? null : { [operator]: day };
    }
    case "larger":
    case "smaller": {
      const octets = octetsOf(value);
      if (octets === null) return null;
      return operator === "larger" ? { minSize: octets } : { maxSize: octets };
    }
    default:
      return null;
  }
}

function stateOf(value: string): Condition | null {
  switch (value) {
    case "unread":
      return { notKeyword: "$seen" };
    case "read":
      return { hasKeyword: "$seen" };
    case "flagged":
    case "starred":
      return { hasKeyword: "$flagged" };
    case "answered":
      return { hasKeyword: "$answered" };
    case "draft":
      return { hasKeyword: "$draft" };
    default:
      return null;
  }
}

/** `2026-11-24`, `24.11.2026` or `2026/11/24` as the first moment of that day here, in UTC. */
export function dayOf(value: string): string | null {
  const iso = /^(\d{4})[-/](\d{1,2})[-/](\d{1,2})$/.exec(value);
  const dotted = /^(\d{1,2})\.(\d{1,2})\.(\d{4})$/.exec(value);
  const [year, month, day] = (iso?.slice(1) ?? dotted?.slice(1).reverse() ?? []).map(Number);
  if (year === undefined || month === undefined || day === undefined) return null;
  const date = new Date(year, month - 1, day);
  if (date.getMonth() !== month - 1 || date.getDate() !== day) return null;
  return date.toISOString().replace(/\.\d+Z$/, "Z");
}

function octetsOf(value: string): number | null {
  const match = /^(\d{1,9})([km]?)b?$/i.exec(value);
  if (match === null) return null;
  const unit = { k: 1024, m: 1024 * 1024 }[match[2]!.toLowerCase()] ?? 1;
  return Number(match[1]) * unit;
}
