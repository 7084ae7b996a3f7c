/** What the search field offers while one types: operators, people, folders, labels, values and searches made before. */

import type { EmailAddress } from "../jmap/types";
import { fold } from "./completion";
import { OPERATORS } from "./search";

export type Operator = (typeof OPERATORS)[number];
export type Kind = "recent" | "operator" | "value" | "person" | "folder" | "label";
export const VALUES = {
  has: ["attachment"],
  is: ["unread", "read", "flagged", "answered", "draft"],
  larger: ["1m", "5m", "20m"],
  smaller: ["10k", "100k", "1m"],
} as const;
/** Days that `before:` and `after:` offer. */
export const DAYS = ["today", "week", "month", "year"] as const;

export interface Suggestion {
  kind: Kind;
  /** What is typed in its place: `from:`, `in:sent`, `from:ann@example.org`. */
  typed: string;
  /** What the field holds once it is chosen. */
  query: string;
  /** A person's or a folder's name, where what is typed does not tell. */
  name: string | null;
  /** Which operator or value it is, for its explanation. */
  about: string | null;
  /** Whether it is a whole search: it is made at once then. */
  isWhole: boolean;
}

export interface Place {
  /** As `in:` has it. */
  value: string;
  name: string;
}

export interface Sources {
  people: readonly EmailAddress[];
  folders: readonly Place[];
  labels: readonly string[];
  /** The newest first. */
  recent: readonly string[];
  today: Date;
}

/** The word the caret stands behind: `offer -from:an|`. */
export interface Word {
  start: number;
  sign: "" | "-";
  operator: Operator | null;
  value: string;
}

const WITH_PEOPLE: readonly Operator[] = ["from", "to", "cc"];
const MOST: Record<Kind, number> = { recent: 4, operator: 12, value: 6, person: 5, folder: 4, label: 4 };
const MOST_IN_FOLDERS = 8;

/** Which word is being typed. A quotation mark keeps a word together. */
export function wordAt(text: string, caret: number): Word {
  let start = 0;
  let isQuoted = false;
  for (let at = 0; at < caret; at += 1) {
    if (text[at] === '"') isQuoted = !isQuoted;
    else if (/\s/.test(text[at]!) && !isQuoted) start = at + 1;
  }
  const word = text.slice(start, caret);
  const sign = word.startsWith("-") ? "-" : "";
  const [, name, value] = /^([a-z]+):(.*)$/is.exec(word.slice(sign.length)) ?? [];
  const operator = OPERATORS.find((one) => one === name?.toLowerCase()) ?? null;
  return { start, sign, operator, value: (operator === null ? word.slice(sign.length) : value!).replaceAll('"', "") };
}

/** Best first within each kind; those of one kind stand together. */
export function suggest(text: string, caret: number, sources: Sources): Suggestion[] {
  const word = wordAt(text, caret);
  const make = maker(text, caret, word);
  if (word.operator !== null) return ofOperator(word.operator, word.value, sources, make);
  const isBegun = word.value !== "";
  return [
    ...recent(text, sources.recent),
    ...OPERATORS.filter((name) => name.startsWith(word.value.toLowerCase())).slice(0, MOST.operator)
      .map((name) => make("operator", name, "", { about: name, isWhole: false })),
    ...(isBegun ? people("from", word.value, sources, make) : []),
    ...(isBegun ? folders(word.value, sources, make, MOST.folder) : []),
    ...(isBegun ? labels(word.value, sources, make) : []),
  ];
}

type Make = (kind: Kind, operator: Operator, value: string, more?: Partial<Suggestion>) => Suggestion;

function maker(text: string, caret: number, { start, sign }: Word): Make {
  return (kind, operator, value, more = {}) => {
    const typed = `${sign}${operator}:${/\s/.test(value) ? `"${value}"` : value}`;
    const isWhole = more.isWhole ?? true;
    const after = text.slice(caret);
    const query = `${text.slice(0, start)}${typed}${isWhole && !/^\s/.test(after) ? " " : ""}${after}`;
    return { kind, typed, query: isWhole ? query.trim() : query, name: null, about: null, isWhole, ...more };
  };
}

function ofOperator(operator: Operator, value: string, sources: Sources, make: Make): Suggestion[] {
  if (WITH_PEOPLE.includes(operator)) return people(operator, value, sources, make);
  switch (operator) {
    case "in":
      return [
        ...folders(value, sources, make, MOST_IN_FOLDERS),
        ...("anywhere".startsWith(value.toLowerCase()) ? [make("folder", "in", "anywhere", { about: "anywhere" })] : []),
      ];
    case "label":
      return labels(value, sources, make);
    case "before":
    case "after":
      return DAYS.map((day) => ({ day, text: dayText(sources.today, day) }))
        .filter(({ text }) => text.startsWith(value) && text !== value)
        .map(({ day, text }) => make("value", operator, text, { about: day }));
    case "has":
    case "is":
    case "larger":
    case "smaller":
      return VALUES[operator].filter((one) => one.startsWith(value.toLowerCase()) && one !== value)
        .map((one) => make("value", operator, one, { about: operator === "has" || operator === "is" ? one : null }));
    default:
      return [];
  }
}

/** Who they are was found out by whoever asked for `sources`. */
function people(operator: Operator, value: string, { people }: Sources, make: Make): Suggestion[] {
  return people.slice(0, MOST.person).filter(({ email }) => email !== value)
    .map(({ name, email }) => make("person", operator, email, { name: name || null }));
}

function folders(value: string, { folders }: Sources, make: Make, most: number): Suggestion[] {
  // A name with a quotation mark cannot be told to the search.
  const found = folders.filter((folder) => !folder.value.includes('"') && folder.value !== value && begins([folder.name, folder.value], value));
  return found.slice(0, most).map((folder) => make("folder", "in", folder.value, { name: folder.name }));
}

function labels(value: string, { labels }: Sources, make: Make): Suggestion[] {
  const found = labels.filter((label) => !label.includes('"') && label !== value && begins([label], value));
  return found.slice(0, MOST.label).map((label) => make("label", "label", label));
}

/** Those that hold what the whole field holds. */
function recent(text: string, all: readonly string[]): Suggestion[] {
  const wanted = fold(text.trim());
  return all.filter((query) => fold(query).includes(wanted) && fold(query) !== wanted).slice(0, MOST.recent)
    .map((query) => ({ kind: "recent", typed: query, query, name: null, about: null, isWhole: true }));
}

function begins(names: readonly string[], value: string): boolean {
  const wanted = fold(value);
  return names.some((name) => fold(name).split(/[\s/]+/).some((word) => word.startsWith(wanted)) || fold(name).startsWith(wanted));
}

function dayText(today: Date, day: (typeof DAYS)[number]): string {
  const date = new Date(today.getFullYear(), today.getMonth(), today.getDate());
  if (day === "week") date.setDate(date.getDate() - 7);
  if (day === "month") date.setDate(date.getDate() - 30);
  if (day === "year") date.setMonth(0, 1);
  const [month, number] = [date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0"));
  return `${date.getFullYear()}-${month}-${number}`;
}

const MOST_KEPT = 20;

/** The searches made so far, with one more. */
export function withRecent(all: readonly string[], query: string): string[] {
  return [query, ...all.filter((one) => fold(one) !== fold(query))].slice(0, MOST_KEPT);
}
