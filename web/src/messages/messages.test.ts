import { describe, expect, test } from "vitest";
import consoleDe from "./console.de.json";
import consoleEn from "./console.en.json";
import consoleFr from "./console.fr.json";
import de from "./de.json";
import en from "./en.json";
import fr from "./fr.json";

type Text = string | Record<string, string>;

function holes(text: Text): string[] {
  const words = typeof text === "string" ? text : (text.other ?? "");
  return [...words.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).sort();
}

describe.each([
  ["webmail, de", en, de],
  ["webmail, fr", en, fr],
  ["console, de", consoleEn, consoleDe],
  ["console, fr", consoleEn, consoleFr],
] as [string, Record<string, Text>, Record<string, Text>][])("%s", (_, english, catalogue) => {
  test("has the texts English has, in its order", () => {
    expect(Object.keys(catalogue)).toEqual(Object.keys(english));
  });

  test.each(Object.entries(english))("%s is told with the same values and forms", (key, text) => {
    const other = catalogue[key]!;
    expect(holes(other)).toEqual(holes(text));
    expect(typeof other).toBe(typeof text);
    if (typeof other !== "string") expect(Object.keys(other)).toEqual(["one", "other"]);
  });
});
