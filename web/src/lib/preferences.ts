/** What a person set, the same on every device (docs/jmap-settings.md), and how two places come together. Pure. */

export type Theme = "system" | "light" | "dark";
export type ReadingPane = "right" | "bottom" | "none";

export interface Preferences {
  /** A language tag; null: as the device has it. */
  language: string | null;
  theme: Theme;
  readingPane: ReadingPane;
  threads: boolean;
  richText: boolean;
  /** How long a message waits to be taken back before it is sent; 0: not at all. */
  undoSeconds: number;
  /** Keywords of the labels that were made, used or not. */
  labels: readonly string[];
  /** Senders whose pictures are shown without asking, in lower case; the newest last. */
  picturesFrom: readonly string[];
  /** Whom a new message is from; null: the first identity. */
  identityId: string | null;
}

export const DEFAULTS: Preferences = {
  language: null, theme: "system", readingPane: "right", threads: true, richText: true, undoSeconds: 8, labels: [], picturesFrom: [], identityId: null,
};
const NAMES = Object.keys(DEFAULTS) as (keyof Preferences)[];

/** Those properties in which `now` differs from `before`. */
export function difference(before: Preferences, now: Preferences): Partial<Preferences> {
  const changed = NAMES.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]));
  return Object.fromEntries(changed.map((name) => [name, now[name]]));
}

/** What the server has, with what was changed here since `base`, which is what it had when last heard of. */
export function merged(base: Preferences, here: Preferences, server: Preferences): Preferences {
  return { ...server, ...difference(base, here) };
}

/** Only what is known of them, whole. */
export function complete(some: Partial<Preferences>): Preferences {
  return Object.fromEntries(NAMES.map((name) => [name, some[name] ?? DEFAULTS[name]])) as unknown as Preferences;
}
