import { describe, expect, test } from "vitest";
import { suggest, withRecent, wordAt, type Sources } from "./suggest";

const SOURCES: Sources = {
  people: [{ name: "Ann Lee", email: "ann@example.org" }],
  folders: [{ value: "inbox", name: "Posteingang" }, { value: "Old projects", name: "Old projects" }, { value: 'a"b', name: 'a"b' }],
  labels: ["büro", "work"],
  recent: ["from:ann offer", "Rechnung"],
  today: new Date(2026, 10, 24),
};

function typed(text: string, caret = text.length): string[] {
  return suggest(text, caret, SOURCES).map((one) => one.typed);
}

describe("the word that is being typed", () => {
  test.each([
    ["offer -from:an", { start: 6, sign: "-", operator: "from", value: "an" }],
    ['from:"Ann Le', { start: 0, sign: "", operator: "from", value: "Ann Le" }],
    ["offer ", { start: 6, sign: "", operator: null, value: "" }],
    ["nobody:an", { start: 0, sign: "", operator: null, value: "nobody:an" }],
  ])("%s", (text, word) => expect(wordAt(text, text.length)).toEqual(word));
});

describe("what is offered", () => {
  test("for an empty field: searches made before, then all operators", () => {
    expect(typed("").slice(0, 4)).toEqual(["from:ann offer", "Rechnung", "from:", "to:"]);
  });

  test("for the beginning of an operator: that, people, folders, labels", () => {
    expect(typed("lab")).toEqual(["label:", "from:ann@example.org"]);
    expect(typed("poste")).toEqual(["from:ann@example.org", "in:inbox"]);
    expect(typed("buro")).toContain("label:büro");
  });

  test("for an operator: its values", () => {
    expect(typed("in:")).toEqual(["in:inbox", 'in:"Old projects"', "in:anywhere"]);
    expect(typed("is:un")).toEqual(["is:unread"]);
    expect(typed("has:")).toEqual(["has:attachment"]);
    expect(typed("-is:")).toContain("-is:flagged");
    expect(typed("before:")).toEqual(["before:2026-11-24", "before:2026-11-17", "before:2026-10-25", "before:2026-01-01"]);
    expect(typed("subject:offer")).toEqual([]);
  });

  test("takes the place of the word and of nothing else", () => {
    const [first] = suggest("offer in:old -draft", 12, SOURCES);
    expect(first!.query).toBe('offer in:"Old projects" -draft');
    const [operator] = suggest("offer sub", 9, SOURCES);
    expect([operator!.query, operator!.isWhole]).toEqual(["offer subject:", false]);
  });

  test("nothing that is there already", () => {
    expect(typed("has:attachment")).toEqual([]);
    expect(typed("Rechnung")).not.toContain("Rechnung");
  });
});

test("a search that is made again is the newest, once", () => {
  expect(withRecent(SOURCES.recent, "rechnung")).toEqual(["rechnung", "from:ann offer"]);
});
