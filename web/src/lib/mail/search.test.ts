import { describe, expect, test } from "vitest";
import type { Mailbox } from "../jmap/types";
import { dayOf, split, toFilter } from "./search";

const folders = [{ id: "1", name: "Inbox", role: "inbox" }, { id: "9", name: "Car pool", role: null }] as Mailbox[];

describe("toFilter", () => {
  test.each([
    ["", null],
    ["invoice  paid", { text: "invoice paid" }],
    ["from:ann", { from: "ann" }],
    ['subject:"annual report"', { subject: "annual report" }],
    ['label:"Büro 2"', { hasKeyword: "b+c3+bcro_2" }],
    ["is:unread", { notKeyword: "$seen" }],
    ["is:flagged has:attachment", { operator: "AND", conditions: [{ hasKeyword: "$flagged" }, { hasAttachment: true }] }],
    ["-from:ann", { operator: "NOT", conditions: [{ from: "ann" }] }],
    ["-draft", { operator: "NOT", conditions: [{ text: "draft" }] }],
    ["in:inbox", { inMailbox: "1" }],
    ['in:"car pool" x', { operator: "AND", conditions: [{ text: "x" }, { inMailbox: "9" }] }],
    ["larger:5m", { minSize: 5242880 }],
    ["https://example.org/x", { text: "https://example.org/x" }],
    ["is:nonsense", { text: "nonsense" }],
    ["before:soon", { text: "soon" }],
    ['"never closed', { text: "never closed" }],
  ])("%s", (text, filter) => expect(toFilter(text, folders, null)).toEqual(filter));

  test("stays in a folder unless told otherwise", () => {
    expect(toFilter("x", folders, "9")).toEqual({ operator: "AND", conditions: [{ text: "x" }, { inMailbox: "9" }] });
    expect(toFilter("x in:anywhere", folders, "9")).toEqual({ text: "x" });
    expect(toFilter("in:anywhere", folders, "9")).toEqual({});
  });

  test("is bounded", () => expect(split("a ".repeat(100_000)).length).toBe(40));
});

test("dayOf", () => {
  const day = new Date(2026, 0, 31).toISOString().replace(".000", "");
  expect(dayOf("2026-01-31")).toBe(day);
  expect(dayOf("31.1.2026")).toBe(day);
  expect(dayOf("2026-02-31")).toBeNull();
  expect(dayOf("tomorrow")).toBeNull();
});
