/** The console's own texts. */

import type english from "../messages/console.en.json";
import { texts, type Values } from "../state/i18n.svelte";

export type Key = keyof typeof english;

export function t(key: Key, values: Values = {}): string {
  return texts.text(key, values);
}

/** The text of a key that the server's word leads to, or that word where we have none for it. */
export function told(prefix: string, word: string): string {
  const key = `${prefix}.${word.replaceAll(" ", "-")}`;
  const text = texts.text(key, {});
  return text === key ? word : text;
}
