/** What can be looked at of an attachment without opening it in a program, and how much of it. */

import { request } from "../jmap/client";
import type { BodyPart } from "../jmap/types";

export type PreviewKind = "picture" | "pdf" | "table" | "text";

export const MOST_TEXT = 500_000;
export const MOST_PDF = 40_000_000;
const MOST_ROWS = 500;
const MOST_COLUMNS = 50;
const LONGEST_CELL = 500;
const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"];
const TEXTS = ["application/json", "application/xml", "application/x-log", "application/x-yaml", "application/sql"];

/** By its type; where the type says nothing, by the ending of its name. */
export function previewKind({ type, name }: Pick<BodyPart, "type" | "name">): PreviewKind | null {
  const ending = /\.([a-z0-9]{1,5})$/i.exec(name ?? "")?.[1]?.toLowerCase() ?? "";
  if (PICTURES.includes(type)) return "picture";
  if (type === "application/pdf" || (type === "application/octet-stream" && ending === "pdf")) return "pdf";
  if (type === "text/csv" || type === "text/tab-separated-values" || ending === "csv" || ending === "tsv") return "table";
  if (type === "text/html" || type === "text/calendar") return null;
  if (type.startsWith("text/") || TEXTS.includes(type)) return "text";
  return type === "application/octet-stream" && ["txt", "log", "md", "ini", "conf", "json", "xml", "yaml", "yml"].includes(ending) ? "text" : null;
}

export interface Excerpt {
  text: string;
  isWhole: boolean;
}

/** The beginning of a text; no more of it is read. Raises `HttpError`, `Unreachable`. */
export async function readExcerpt(url: string, charset: string | null, most = MOST_TEXT): Promise<Excerpt> {
  const reader = (await request(url)).body!.getReader();
  const octets = new Uint8Array(most);
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { text: decode(octets.subarray(0, length), charset), isWhole: true };
    octets.set(value.subarray(0, most - length), length);
    if (length + value.length > most) {
      await reader.cancel();
      return { text: decode(octets, charset), isWhole: false };
    }
    length += value.length;
  }
}

/** As it says; else UTF-8 where it is, else what western computers used before. */
function decode(octets: Uint8Array, charset: string | null): string {
  for (const label of [charset, "utf-8"]) {
    try {
      // A character cut in two at the end is no reason to doubt the rest.
      if (label) return new TextDecoder(label, { fatal: true }).decode(octets, { stream: true });
    } catch {
      continue;
    }
  }
  return new TextDecoder("windows-1252").decode(octets);
}

/** Rows of cells (RFC 4180), separated by what the first line has most of: comma, semicolon or tab. */
export function parseTable(text: string): string[][] {
  const first = text.split("\n", 1)[0]!;
  const separator = [",", ";", "\t"].reduce((best, one) => (first.split(one).length > first.split(best).length ? one : best));
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = "";
  let quoted = false;
  for (let at = 0; at < text.length && rows.length < MOST_ROWS; at += 1) {
    const letter = text[at]!;
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[at + 1] === '"') cell += text[++at];
      else quoted = false;
    } else if (letter === '"' && cell === "") quoted = true;
    else if (letter === separator || letter === "\n") {
      row.push(cell.replace(/\r$/, "").slice(0, LONGEST_CELL));
      cell = "";
      if (letter === separator) continue;
      rows.push(row.slice(0, MOST_COLUMNS));
      row = [];
    } else cell += letter;
  }
  if (rows.length < MOST_ROWS && (cell !== "" || row.length > 0)) rows.push([...row, cell.slice(0, LONGEST_CELL)].slice(0, MOST_COLUMNS));
  return rows;
}
