import { describe, expect, test } from "vitest";
import { aboutField, doesSomething, filterLike, listIdOf, newCondition, newFilter } from "./filters";

describe("filters", () => {
  test.each([
    ["The Plan <plan.lists.example>", "plan.lists.example"],
    ["<a.b>", "a.b"],
    [" bare.example ", "bare.example"],
    [null, ""],
  ])("RFC 2919: the id of %s", (field, id) => expect(listIdOf(field)).toBe(id));

  test("like a message of a list, else of its sender", () => {
    const ann = { name: "Ann", email: "ann@example.org" };
    expect(filterLike(3, ann, "X <x.example>")).toMatchObject({ name: "x.example", sortOrder: 3, conditions: [{ field: "listId", comparison: "is", value: "x.example" }] });
    expect(filterLike(0, ann, null)).toMatchObject({ name: "Ann", conditions: [{ field: "from", comparison: "is", value: "ann@example.org" }] });
  });

  test("a condition that is to be about something else keeps what it can", () => {
    const domain = { ...newCondition("from", "example.org"), comparison: "domain" as const, isNegated: true };
    expect(aboutField(domain, "recipients")).toEqual({ ...domain, field: "recipients" });
    expect(aboutField(domain, "subject")).toEqual({ ...domain, field: "subject", comparison: "contains" });
    expect(aboutField(domain, "size")).toEqual({ field: "size", comparison: "larger", value: "", size: 1_000_000, isNegated: true });
  });

  test("a filter does something", () => {
    expect(doesSomething(newFilter(0))).toBe(false);
    expect(doesSomething({ ...newFilter(0), keywords: { $seen: true } })).toBe(true);
    expect(doesSomething({ ...newFilter(0), forwardTo: "" })).toBe(false);
  });
});
