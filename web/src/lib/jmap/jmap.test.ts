import { describe, expect, test } from "vitest";
import { MethodError } from "./client";
import { follow } from "./follow";
import { keyword, move, patched, reverse } from "./patch";
import type { ChangesAnswer, EmailSummary, Id } from "./types";

const answer = (newState: string, created: Id[], updated: Id[], destroyed: Id[], hasMoreChanges = false): ChangesAnswer => ({
  oldState: "", newState, created, updated, destroyed, hasMoreChanges,
});

describe("follow", () => {
  test("puts the steps together", async () => {
    const steps: Record<string, ChangesAnswer> = {
      "1": answer("2", ["a", "b"], ["c"], [], true),
      "2": answer("3", [], ["a", "d"], ["b", "c", "e"]),
    };
    const found = await follow("1", (since) => Promise.resolve(steps[since]!));
    expect(found).toEqual({ state: "3", created: new Set(["a"]), updated: new Set(["d"]), destroyed: new Set(["c", "e"]) });
  });

  test("says when everything has to be read anew", async () => {
    expect(await follow("1", () => Promise.reject(new MethodError("cannotCalculateChanges")))).toBeNull();
    await expect(follow("1", () => Promise.reject(new MethodError("serverFail")))).rejects.toThrow();
  });

  test("does not go on for ever", async () => {
    let asked = 0;
    expect(await follow("1", () => Promise.resolve(answer(String(asked++), [], [], [], true)))).toBeNull();
    expect(asked).toBe(20);
  });
});

describe("patches", () => {
  const email = { id: "e", keywords: { $seen: true }, mailboxIds: { "1": true } } as unknown as EmailSummary;

  test.each([
    ["a flag", keyword("$flagged", true)], ["unread", keyword("$seen", false)], ["a move", move("1", "2")], ["a move from everywhere", move(null, "3")],
    ["an odd keyword", keyword("a/b~c", true)],
  ])("%s is turned back", (_, patch) => {
    const after = patched(email, patch);
    expect(after).not.toEqual(email);
    expect(patched(after, reverse(email, after))).toEqual(email);
  });
});
