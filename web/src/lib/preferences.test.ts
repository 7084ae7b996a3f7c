import { expect, test } from "vitest";
import { complete, DEFAULTS, difference, merged } from "./preferences";

test("what was changed on two devices comes together, property by property", () => {
  const here = { ...DEFAULTS, theme: "dark" as const };
  const server = { ...DEFAULTS, undoSeconds: 30 };
  expect(merged(DEFAULTS, here, server)).toEqual({ ...DEFAULTS, theme: "dark", undoSeconds: 30 });
});

test("what was not changed here is as the server has it", () => {
  const base = { ...DEFAULTS, labels: ["work"], language: "de" };
  const server = { ...DEFAULTS, labels: ["work", "home"] };
  expect(merged(base, base, server)).toEqual(server);
});

test("only what differs is sent", () => {
  expect(difference(DEFAULTS, { ...DEFAULTS })).toEqual({});
  expect(difference(DEFAULTS, { ...DEFAULTS, labels: ["a"] })).toEqual({ labels: ["a"] });
});

test("what is unknown is dropped, what is missing is as by default", () => {
  expect(complete({ theme: "light", colour: "pink" } as never)).toEqual({ ...DEFAULTS, theme: "light" });
});
