import { describe, expect, test } from "vitest";
import type { Email } from "../jmap/types";
import { format, initials, isAddress, parseAddresses, unique } from "./address";
import { begin, quote, speaksOfAttachment } from "./reply";
import { blocks, links } from "./quoted";

describe("addresses", () => {
  test("as people type them", () => {
    expect(parseAddresses('Ann Lee <ann@example.org>, ben@example.org; "Lee, \\"C\\"" <c@example.org>,,')).toEqual([
      { name: "Ann Lee", email: "ann@example.org" },
      { name: null, email: "ben@example.org" },
      { name: 'Lee, "C"', email: "c@example.org" },
    ]);
  });

  test("what is formatted is read again", () => {
    const person = { name: 'Lee, "C" \\ <x>', email: "c@example.org" };
    expect(parseAddresses(format(person))).toEqual([person]);
  });

  test.each(["a@b", "ä.b+c@münchen.example", "x@sub.example.org"])("%s is one", (text) => expect(isAddress(text)).toBe(true));
  test.each(["", "a", "a@", "@b", "a b@c", "a@b,c", `${"x".repeat(250)}@example.org`])("%s is none", (text) => expect(isAddress(text)).toBe(false));

  test("each once, and their initials", () => {
    expect(unique([{ name: "A", email: "a@x" }, { name: null, email: "A@X" }])).toHaveLength(1);
    expect(initials({ name: "Ann de Lee", email: "" })).toBe("AL");
    expect(initials(undefined)).toBe("?");
  });
});

describe("a reply", () => {
  const own = [{ name: "Me", email: "me@example.org" }];
  const email = {
    subject: "Offer", from: [{ name: "Ann", email: "ann@example.org" }], to: [{ name: null, email: "ME@example.org" }, { name: null, email: "ben@example.org" }],
    cc: [{ name: null, email: "cc@example.org" }, { name: null, email: "ben@example.org" }], replyTo: null, messageId: ["2@x"], references: ["1@x"], inReplyTo: null,
  } as unknown as Email;

  test("goes to the sender", () => {
    expect(begin("reply", email, own)).toEqual({ to: email.from, cc: [], subject: "Re: Offer", inReplyTo: ["2@x"], references: ["1@x", "2@x"] });
  });

  test("to all leaves oneself out and names nobody twice", () => {
    const { to, cc } = begin("replyAll", email, own);
    expect(to.map((p) => p.email)).toEqual(["ann@example.org", "ben@example.org"]);
    expect(cc.map((p) => p.email)).toEqual(["cc@example.org"]);
  });

  test("to one's own message goes to whom it went", () => {
    const sent = { ...email, from: own };
    expect(begin("reply", sent, own).to.map((p) => p.email)).toEqual(["ben@example.org"]);
  });

  test.each(["Re: Offer", "AW: Offer", "re:Offer"])("%s gets no second prefix", (subject) => expect(begin("reply", { ...email, subject }, own).subject).toBe(subject));
  test("quotes", () => expect(quote("a\n\n> b\n")).toBe("> a\n>\n>> b"));

  test.each(["See the attached file", "Anbei die Liste", "voir ci-joint", "im Anhang"])("%s speaks of an attachment", (text) => expect(speaksOfAttachment(text)).toBe(true));
  test.each(["nothing here", "> see the attached file", "attachmentless"])("%s does not", (text) => expect(speaksOfAttachment(text)).toBe(false));
});

describe("plain text", () => {
  test("quoted text is apart with what introduces it", () => {
    expect(blocks("Yes.\n\nOn Monday Ann wrote:\n> no?\n> x\nBye")).toEqual([
      { quoted: false, text: "Yes.\n" },
      { quoted: true, text: "On Monday Ann wrote:\n> no?\n> x" },
      { quoted: false, text: "Bye" },
    ]);
  });

  test("links end before the full stop", () => {
    expect(links("see https://example.org/a?b=c. Bye")).toEqual([
      { text: "see ", href: null }, { text: "https://example.org/a?b=c", href: "https://example.org/a?b=c" }, { text: ". Bye", href: null },
    ]);
    expect(links("javascript:alert(1)")).toEqual([{ text: "javascript:alert(1)", href: null }]);
  });
});
