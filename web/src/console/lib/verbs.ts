/** What the switch can do, and to what. */

import type { ScopeKind, TrustState } from "./types";

export const VERBS = ["activate", "isolate", "doubt", "clear", "clean-bill", "access", "drill"] as const;
export type Verb = (typeof VERBS)[number];

const ANY: readonly ScopeKind[] = ["organisation", "primary", "domain", "group", "mailbox"];

export const REACH: Record<Verb, readonly ScopeKind[]> = {
  activate: ANY,
  isolate: ["primary"],
  doubt: ["primary"],
  clear: ["primary"],
  "clean-bill": ["primary"],
  access: ANY,
  drill: ["mailbox", "group"],
};

/** Whether a primary in this state can be told so; the server has the last word. */
export function isPossible(verb: Verb, state: TrustState): boolean {
  if (verb === "isolate") return state !== "compromised";
  if (verb === "doubt") return state === "trusted";
  if (verb === "clear") return state === "suspect";
  if (verb === "clean-bill") return state === "compromised";
  return true;
}

export function isVerb(word: string): word is Verb {
  return (VERBS as readonly string[]).includes(word);
}
