/** How this person likes it, kept in this browser. */

import { LANGUAGES, preferredLanguage, texts, type Language } from "./i18n.svelte";

const STORED = "everpost.settings";
export type Theme = "system" | "light" | "dark";
export type Density = "comfortable" | "compact";

interface Stored {
  theme: Theme;
  density: Density;
  language: Language;
  threads: boolean;
  richText: boolean;
  undoSeconds: number;
  labels: string[];
  picturesFrom: string[];
}

class Settings {
  theme = $state<Theme>("system");
  density = $state<Density>("comfortable");
  language = $state<Language>("en");
  threads = $state(true);
  richText = $state(true);
  /** Keywords of the labels made in this browser, used or not. */
  labels = $state.raw<readonly string[]>([]);
  /** How long a message waits to be taken back before it is sent; 0: not at all. */
  undoSeconds = $state(8);
  /** Senders whose pictures are shown without asking, in lower case; the newest last. */
  picturesFrom = $state.raw<readonly string[]>([]);

  constructor() {
    const stored = read();
    this.theme = stored.theme ?? "system";
    this.density = stored.density ?? "comfortable";
    this.threads = stored.threads ?? true;
    this.richText = stored.richText ?? true;
    this.undoSeconds = stored.undoSeconds ?? 8;
    this.labels = stored.labels ?? [];
    this.picturesFrom = stored.picturesFrom ?? [];
    const language = stored.language ?? preferredLanguage();
    this.language = language in LANGUAGES ? language : "en";
  }

  /** Applies what is set to the page, and keeps it; called in an effect, so whenever something changes. */
  apply(): void {
    const { theme, density, language, threads, richText, undoSeconds } = this;
    const picturesFrom = [...this.picturesFrom];
    const labels = [...this.labels];
    document.documentElement.dataset.theme = theme;
    document.documentElement.dataset.density = density;
    if (texts.language !== language) void texts.use(language);
    localStorage.setItem(STORED, JSON.stringify({ theme, density, language, threads, richText, undoSeconds, labels, picturesFrom } satisfies Stored));
  }
}

export const UNDO_SECONDS = [0, 5, 8, 15, 30, 60];
export const MOST_SENDERS = 500;

/** Whether pictures of this sender are shown without asking. */
export function showsPicturesOf(address: string): boolean {
  return settings.picturesFrom.includes(address.toLowerCase());
}

export function setPicturesOf(address: string, shown: boolean): void {
  const others = settings.picturesFrom.filter((one) => one !== address.toLowerCase());
  settings.picturesFrom = shown ? [...others, address.toLowerCase()].slice(-MOST_SENDERS) : others;
}

function read(): Partial<Stored> {
  try {
    return JSON.parse(localStorage.getItem(STORED) ?? "{}") as Partial<Stored>;
  } catch {
    return {};
  }
}

export const settings = new Settings();
