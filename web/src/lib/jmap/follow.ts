/** Following /changes (RFC 8620 §5.2) from one state to the newest. */

import { MethodError } from "./client";
import type { ChangesAnswer, Id } from "./types";

export interface Followed {
  state: string;
  created: Set<Id>;
  updated: Set<Id>;
  destroyed: Set<Id>;
}

const MOST_STEPS = 20;

/** What happened since `state`, each object in one set only; null where everything has to be read anew. */
export async function follow(state: string, ask: (since: string) => Promise<ChangesAnswer>): Promise<Followed | null> {
  const found: Followed = { state, created: new Set(), updated: new Set(), destroyed: new Set() };
  for (let step = 0; step < MOST_STEPS; step += 1) {
    let answer: ChangesAnswer;
    try {
      answer = await ask(found.state);
    } catch (error) {
      if (error instanceof MethodError && error.type === "cannotCalculateChanges") return null;
      throw error;
    }
    note(found, answer);
    if (!answer.hasMoreChanges) return found;
  }
  return null;
}

function note(found: Followed, answer: ChangesAnswer): void {
  for (const id of answer.created) found.created.add(id);
  for (const id of answer.updated) if (!found.created.has(id)) found.updated.add(id);
  for (const id of answer.destroyed) {
    // What came and went in between was never here.
    if (!found.created.delete(id)) found.destroyed.add(id);
    found.updated.delete(id);
  }
  found.state = answer.newState;
}
