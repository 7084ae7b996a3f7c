import { describe, expect, test } from "vitest";
import type { EmailAddress } from "../jmap/types";
import { cardOf, isOwn, nameOf, peopleOn, type Card } from "./cards";
import { matches, rank, weightOf, type Known, type Origin } from "./completion";

const DAY = 86_400_000;

function known(origin: Origin, email: string, name: string | null = null): Known {
  return { person: { name, email }, origin };
}

function weights(of: Record<string, number>): Map<string, number> {
  return new Map(Object.entries(of));
}

describe("the order of completion", () => {
  test("who was met comes before contacts, these before the directory", () => {
    const all = [known("directory", "d@x"), known("contact", "c@x"), known("met", "rare@x"), known("met", "often@x")];
    const found = rank(all, weights({ "rare@x": 1, "often@x": 4 }));
    expect(found.map(({ email }) => email)).toEqual(["often@x", "rare@x", "c@x", "d@x"]);
  });

  test("contacts and the directory are in order of their names", () => {
    const found = rank([known("contact", "1@x", "Zoe"), known("contact", "2@x", "Émile"), known("directory", "3@x", "Ada")], weights({}));
    expect(found.map(({ name }) => name)).toEqual(["Émile", "Zoe", "Ada"]);
  });

  test("an address is offered once, where it is nearest, by the name of one's own card", () => {
    const found = rank([known("directory", "Ann@x", "Ann Lee (Sales)"), known("contact", "ann@x", "Annie"), known("met", "ann@X", "LEE, Ann")], weights({ "ann@x": 1 }));
    expect(found).toEqual([{ name: "Annie", email: "ann@X" }]);
  });

  test("a name from the directory stands where none was known, and does not replace one", () => {
    expect(rank([known("met", "a@x"), known("directory", "a@x", "Ann")], weights({}))).toEqual([{ name: "Ann", email: "a@x" }]);
    expect(rank([known("met", "a@x", "Annie"), known("directory", "a@x", "Ann")], weights({}))).toEqual([{ name: "Annie", email: "a@x" }]);
  });

  test("recent counts more than long ago, and whom one wrote to more than who wrote", () => {
    const now = 1_000 * DAY;
    expect(weightOf(now, now, false)).toBe(1);
    expect(weightOf(now - 30 * DAY, now, false)).toBeCloseTo(0.5);
    expect(weightOf(now + DAY, now, false)).toBe(1); // a clock that is ahead
    expect(weightOf(now - 30 * DAY, now, true)).toBeGreaterThan(weightOf(now, now, false));
  });
});

describe("who matches", () => {
  const anna: EmailAddress = { name: "Anna-Lena Müller", email: "a.mueller@sales.example.org" };
  test.each(["anna", "LENA", "mul", "Müller", "mull anna", "a.mu", "sales", "a.mueller@sales"])("%s", (typed) => expect(matches(anna, typed)).toBe(true));
  test.each(["", " ", "nna", "anna bob", "ueller"])("not %j", (typed) => expect(matches(anna, typed)).toBe(false));
});

describe("cards", () => {
  const card = (more: Partial<Card>): Card => ({ id: "1", addressBookIds: { b: true }, ...more });

  test("a card has a person for each address", () => {
    const found = peopleOn(card({ name: { full: "Ann Lee" }, emails: { e1: { address: "a@x" }, e2: { address: "b@x" } } }));
    expect(found).toEqual([{ name: "Ann Lee", email: "a@x" }, { name: "Ann Lee", email: "b@x" }]);
    expect(peopleOn(card({}))).toEqual([]);
  });

  test("its name may come in parts, or not at all", () => {
    expect(nameOf(card({ name: { components: [{ kind: "given", value: "Ann" }, { kind: "separator", value: ", " }, { kind: "surname", value: "Lee" }] } }))).toBe("Ann Lee");
    expect(nameOf(card({ name: { full: " " } }))).toBeNull();
  });

  test("the directory's are not one's own", () => {
    expect(isOwn(card({}))).toBe(true);
    expect(isOwn(card({ addressBookIds: { directory: true } }))).toBe(false);
  });

  test("somebody without a name is kept by the address", () => {
    expect(cardOf({ name: null, email: "a@x" })).toMatchObject({ name: { full: "a@x" }, emails: { e1: { address: "a@x" } } });
  });
});
