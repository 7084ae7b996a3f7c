/** Between plain text and HTML. */

import { purified } from "./purify";

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const BLOCKS = new Set(["P", "DIV", "BLOCKQUOTE", "LI", "TR", "TABLE", "UL", "OL", "PRE", "H1", "H2", "H3", "H4", "H5", "H6", "HR"]);

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (letter) => ENTITIES[letter]!);
}

export function toHtml(text: string): string {
  return text
    .split("\n")
    .map((line) => `<div>${escapeHtml(line) || "<br>"}</div>`)
    .join("");
}

/** The text of HTML, its quotations marked. Parsed without running or fetching anything. */
export function toPlain(html: string): string {
  const lines = [""];
  write(purified(html), lines, "");
  return lines
    .map((line) => line.trimEnd())
    .join("\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

function write(node: Node, lines: string[], prefix: string): void {
  for (const child of node.childNodes) {
    if (child instanceof Text) {
      lines[lines.length - 1] += child.data.replace(/\s+/g, " ");
      continue;
    }
    if (!(child instanceof Element)) continue;
    if (child.tagName === "BR") {
      lines.push(prefix);
      continue;
    }
    const isBlock = BLOCKS.has(child.tagName);
    const inner = child.tagName === "BLOCKQUOTE" ? `${prefix}> ` : prefix;
    if (isBlock) begin(lines, inner);
    if (child.tagName === "LI") lines[lines.length - 1] += "- ";
    const before = lines.length;
    write(child, lines, inner);
    if (isBlock && (lines.length > before || lines[lines.length - 1] !== inner)) lines.push(prefix);
  }
}

function begin(lines: string[], prefix: string): void {
  const last = lines[lines.length - 1]!;
  if (last.trim() === prefix.trim() || /^(> )*$/.test(last)) lines[lines.length - 1] = prefix;
  else lines.push(prefix);
}
