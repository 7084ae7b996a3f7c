import { describe, expect, test } from "vitest";
import { formOf, newCard, patchOf, problemOf } from "./cardform";
import type { Card } from "./cards";

const CARD = {
  id: "c1",
  addressBookIds: { b1: true },
  name: { components: [{ kind: "given", value: "Ann" }, { kind: "surname", value: "Lee" }] },
  emails: { a: { address: "ann@example.org", contexts: { work: true }, pref: 1 }, b: { address: "lee@example.org" } },
  phones: { p: { number: "+1 2", features: { mobile: true } } },
  organizations: { o: { name: "Example", units: [{ name: "Sales" }] } },
  addresses: { x: { full: "Main Street 1" } },
} as unknown as Card;

describe("the form of a contact", () => {
  test("left as it is changes nothing", () => {
    expect(patchOf(formOf(CARD), CARD)).toEqual({});
  });

  test("changes only what was changed, and keeps what it does not show", () => {
    const form = formOf(CARD);
    form.emails[0]!.value = " ann.lee@example.org ";
    form.organisation = "Other";
    expect(patchOf(form, CARD)).toEqual({
      emails: { a: { address: "ann.lee@example.org", contexts: { work: true }, pref: 1 }, b: { address: "lee@example.org" } },
      organizations: { o: { name: "Other", units: [{ name: "Sales" }] } },
    });
  });

  test("takes a line away, adds one beside the keys there are, and changes its kind", () => {
    const form = formOf(CARD);
    form.emails.splice(1, 1);
    form.emails.push({ key: null, value: "new@example.org", context: "private" });
    form.phones[0]!.context = "work";
    expect(patchOf(form, CARD)).toEqual({
      emails: { a: CARD.emails!.a, a1: { address: "new@example.org", contexts: { private: true } } },
      phones: { p: { number: "+1 2", features: { mobile: true }, contexts: { work: true } } },
    });
  });

  test("what is emptied goes", () => {
    const form = { ...formOf(CARD), name: "", organisation: " ", phones: [] };
    expect(patchOf(form, CARD)).toEqual({ name: null, organizations: null, phones: null });
  });

  test("makes a new card", () => {
    const form = { ...formOf(null), name: " Ben ", note: "met in Rome", emails: [{ key: null, value: "", context: "" as const }] };
    expect(newCard(form)).toEqual({ "@type": "Card", version: "1.0", kind: "individual", name: { full: "Ben" }, notes: { n1: { note: "met in Rome" } } });
  });
});

describe("what is wrong", () => {
  test.each([
    [{ ...formOf(null) }, { about: "name" }],
    [{ ...formOf(null), emails: [{ key: null, value: "a@b.org", context: "" as const }, { key: null, value: "no address", context: "" as const }] }, { about: "email", index: 1 }],
    [{ ...formOf(null), organisation: "Example" }, null],
  ])("%#", (form, problem) => {
    expect(problemOf(form)).toEqual(problem);
  });
});
