/** Plain text for reading: paragraphs of one's own words and folds of quoted ones, with links found. */

export interface Block {
  quoted: boolean;
  text: string;
}

/** The lines in runs: quoted (`>`), or an introduced original at the end, and not. */
export function blocks(text: string): Block[] {
  const found: Block[] = [];
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  let original = false;
  lines.forEach((line, index) => {
    original ||= /^-{2,}\s*(original message|ursprüngliche nachricht|message d'origine|forwarded message)\s*-{2,}\s*$/i.test(line);
    const quoted = original || line.startsWith(">") || introduces(line, lines[index + 1], lines[index + 2]);
    const last = found[found.length - 1];
    if (last !== undefined && last.quoted === quoted) last.text += `\n${line}`;
    else found.push({ quoted, text: line });
  });
  return found.filter((block) => block.text.trim() !== "");
}

/** "On Monday, Ann wrote:" just before what is quoted belongs to it. */
function introduces(line: string, next: string | undefined, afterNext: string | undefined): boolean {
  if (!/:\s*$/.test(line) || line.length > 200) return false;
  return next?.startsWith(">") === true || (next?.trim() === "" && afterNext?.startsWith(">") === true);
}

export interface Piece {
  text: string;
  href: string | null;
}

const LINK = /\b(?:https?:\/\/|mailto:)[^\s<>"'\])]{1,2000}/gi;
const ENDS = /[.,;:!?'"]+$/;

/** Text with its web and mail addresses apart. */
export function links(text: string): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    const href = match[0].replace(ENDS, "");
    if (match.index > end) pieces.push({ text: text.slice(end, match.index), href: null });
    pieces.push({ text: href, href });
    end = match.index + href.length;
  }
  if (end < text.length) pieces.push({ text: text.slice(end), href: null });
  return pieces;
}
