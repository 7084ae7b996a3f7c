/** Addresses as people type and read them. */

import type { EmailAddress } from "../jmap/types";

const ADDRESS = /^[^\s@<>",;:()[\]\\]+@[^\s@<>",;:()[\]\\]+\.?[^\s@<>",;:()[\]\\]*$/;

export function isAddress(text: string): boolean {
  return text.length <= 254 && ADDRESS.test(text);
}

/** `Ann Lee <ann@example.org>, ben@example.org; "Lee, C" <c@example.org>` in order. What is none is kept as typed. */
export function parseAddresses(text: string): EmailAddress[] {
  return splitOutsideQuotes(text)
    .map((item) => item.trim())
    .filter((item) => item !== "")
    .map(parseAddress);
}

export function parseAddress(item: string): EmailAddress {
  const angle = /^(.*?)<\s*([^<>]*)\s*>$/s.exec(item.trim());
  if (angle === null) return { name: null, email: item.trim() };
  const name = angle[1]!.trim().replace(/^"(.*)"$/s, "$1").replace(/\\(.)/g, "$1");
  return { name: name || null, email: angle[2]!.trim() };
}

function splitOutsideQuotes(text: string): string[] {
  const items: string[] = [];
  let item = "";
  let quoted = false;
  let angle = false;
  for (let at = 0; at < text.length; at += 1) {
    const letter = text[at]!;
    if (quoted && letter === "\\") {
      item += letter + (text[++at] ?? "");
      continue;
    }
    if (letter === '"') quoted = !quoted;
    if (!quoted && letter === "<") angle = true;
    if (!quoted && letter === ">") angle = false;
    if (!quoted && !angle && (letter === "," || letter === ";" || letter === "\n")) {
      items.push(item);
      item = "";
    } else item += letter;
  }
  return [...items, item];
}

/** As it goes into a field that is read by `parseAddresses` again. */
export function format(person: EmailAddress): string {
  if (!person.name) return person.email;
  const name = /[",;:<>@()[\]\\]/.test(person.name) ? `"${person.name.replace(/["\\]/g, "\\$&")}"` : person.name;
  return `${name} <${person.email}>`;
}

/** How a list names somebody. */
export function shown(person: EmailAddress | undefined): string {
  return person?.name || person?.email || "";
}

export function sameAddress(one: EmailAddress, other: EmailAddress): boolean {
  return one.email.toLowerCase() === other.email.toLowerCase();
}

/** Each address once, the first spelling kept. */
export function unique(people: readonly EmailAddress[]): EmailAddress[] {
  const seen = new Set<string>();
  return people.filter(({ email }) => !seen.has(email.toLowerCase()) && seen.add(email.toLowerCase()));
}

/** Two letters for a picture of somebody. */
export function initials(person: EmailAddress | undefined): string {
  const words = shown(person).replace(/@.*/, "").split(/[\s._-]+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0]!, words[words.length - 1]!] : [words[0] ?? "?"];
  return letters.map((word) => [...word][0]!.toUpperCase()).join("");
}

/** A hue for a picture of somebody: always the same for one address. */
export function hue(address: string): number {
  let sum = 0;
  for (const letter of address.toLowerCase()) sum = (sum * 31 + letter.codePointAt(0)!) % 360;
  return sum;
}

/** Those whose addresses belong to none of the organisation's domains; nobody where these are not known. */
export function outside(people: readonly EmailAddress[], domains: readonly string[]): EmailAddress[] {
  const own = new Set(domains.map((domain) => domain.toLowerCase()));
  return own.size === 0 ? [] : people.filter(({ email }) => isAddress(email) && !own.has(email.slice(email.lastIndexOf("@") + 1).toLowerCase()));
}
