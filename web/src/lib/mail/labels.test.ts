import { describe, expect, test } from "vitest";
import type { EmailSummary } from "../jmap/types";
import { isLabel, labelsOf, toKeyword, toName } from "./labels";

describe("labels", () => {
  test.each([
    ["Büro  2", "b+c3+bcro_2", "büro 2"],
    ["a_b+c", "a+5fb+2bc", "a_b+c"],
    ["50% (off)]", "50+25_+28off+29+5d", "50% (off)]"],
    ["予算", "+e4+ba+88+e7+ae+97", "予算"],
  ])("%s is kept in a keyword", (name, keyword, shown) => {
    expect(toKeyword(name)).toBe(keyword);
    expect(toName(keyword)).toBe(shown);
    expect(keyword).not.toMatch(/[(){\]%*"\\\s]/);
  });

  test("what others made up is shown as it is", () => {
    expect(toName("+ff")).toBe("+ff");
    expect(toName("urgent+")).toBe("urgent+");
  });

  test("what programs set is no label", () => {
    expect(["$seen", "nonjunk", "work"].filter(isLabel)).toEqual(["work"]);
    const email = (...names: string[]): EmailSummary => ({ keywords: Object.fromEntries(names.map((name) => [name, true])) }) as unknown as EmailSummary;
    expect(labelsOf([email("$seen", "b"), email("a", "b")])).toEqual(["a", "b"]);
  });
});
