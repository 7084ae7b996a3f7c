/** How this person likes it: at the server (docs/jmap-settings.md) and, for times without one, in this browser. */

import { MethodError, SETTINGS, type JmapClient } from "../lib/jmap/client";
import type { GetAnswer, SetAnswer } from "../lib/jmap/types";
import { complete, DEFAULTS, difference, merged, type Preferences, type ReadingPane, type Theme } from "../lib/preferences";
import { LANGUAGES, preferredLanguage, t, texts, type Language } from "./i18n.svelte";
import { toasts } from "./toasts.svelte";

export type { ReadingPane, Theme };
export type Density = "comfortable" | "compact";

const STORED = "everpost.settings";
const SEND_AFTER_MS = 400;
const SINGLETON = "singleton";

/** What of it is only about this device, and what the server had when it was last heard of. */
interface Stored extends Preferences {
  density: Density;
  account: string | null;
  base: Preferences | null;
}

class Settings implements Preferences {
  density = $state<Density>("comfortable");
  language = $state<string | null>(null);
  theme = $state<Theme>("system");
  readingPane = $state<ReadingPane>("right");
  threads = $state(true);
  richText = $state(true);
  undoSeconds = $state(8);
  labels = $state.raw<readonly string[]>([]);
  picturesFrom = $state.raw<readonly string[]>([]);
  identityId = $state<string | null>(null);
  /** In whose account they are, and as they were there. */
  private account: string | null;
  private base: Preferences | null;
  private client: JmapClient | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isSending = false;

  constructor() {
    const stored = read();
    this.density = stored.density ?? "comfortable";
    this.account = stored.account ?? null;
    this.base = stored.base ? complete(stored.base) : null;
    this.take(complete(stored));
    // Before they were at the server, what the device has stood here as if it had been chosen.
    if (this.base === null && this.language === preferredLanguage()) this.language = null;
  }

  /** The language that is shown. */
  get shownLanguage(): Language {
    return this.language !== null && this.language in LANGUAGES ? (this.language as Language) : preferredLanguage();
  }

  private get now(): Preferences {
    const { language, theme, readingPane, threads, richText, undoSeconds, labels, picturesFrom, identityId } = this;
    return { language, theme, readingPane, threads, richText, undoSeconds, labels, picturesFrom, identityId };
  }

  private take(wanted: Preferences): void {
    Object.assign(this, wanted);
  }

  /** Applies what is set to the page, and keeps it; called in an effect, so whenever something changes. */
  apply(): void {
    const { theme, density, shownLanguage } = this;
    document.documentElement.dataset.theme = theme;
    document.documentElement.dataset.density = density;
    if (texts.language !== shownLanguage) void texts.use(shownLanguage);
    this.keep();
    this.sendSoon();
  }

  private keep(): void {
    const { density, account, base } = this;
    localStorage.setItem(STORED, JSON.stringify({ ...this.now, density, account, base } satisfies Stored));
  }

  // ---------------------------------------------------------------- at the server

  /** From now on they are those of this account. Where the server keeps none, they stay in this browser. */
  async connect(client: JmapClient): Promise<void> {
    if (!(SETTINGS in client.account.accountCapabilities)) return;
    // What somebody else left here is theirs.
    if (this.account !== null && this.account !== client.accountId) this.base = this.now;
    this.account = client.accountId;
    this.client = client;
    await this.load();
  }

  /** As they are at the server now; what was changed here and not sent yet goes there. Never fails: they stay as known. */
  async load(): Promise<void> {
    const { client } = this;
    if (client === null || this.isSending) return;
    try {
      const { list } = await client.call<GetAnswer<Preferences>>("Settings/get", { ids: [SINGLETON] });
      if (client !== this.client) return;
      const server = complete(list[0] ?? {});
      const wanted = merged(this.base ?? DEFAULTS, this.now, server);
      this.base = server;
      this.take(wanted);
      this.keep();
      this.sendSoon();
    } catch {
      // What is known here holds; it is asked for again when something has changed, or the connection returns.
    }
  }

  private sendSoon(): void {
    if (this.client === null || this.base === null || Object.keys(difference(this.base, this.now)).length === 0) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.send(), SEND_AFTER_MS);
  }

  private async send(): Promise<void> {
    const { client, base } = this;
    if (client === null || base === null || this.isSending) return;
    const patch = difference(base, this.now);
    this.isSending = true;
    try {
      const { notUpdated } = await client.call<SetAnswer>("Settings/set", { update: { [SINGLETON]: patch } });
      const refused = notUpdated?.[SINGLETON];
      if (refused !== undefined) throw new MethodError(refused.type, refused.description);
      this.base = { ...base, ...patch };
    } catch (error) {
      // Without a connection they wait for it. What the server refuses is as it was.
      if (error instanceof MethodError) {
        this.take({ ...this.now, ...difference(this.now, base) });
        toasts.problem(t("settings.notSaved", { why: error.message }));
      }
    } finally {
      this.isSending = false;
    }
    this.keep();
    if (this.base !== base) this.sendSoon(); // what was changed meanwhile
  }

  /** The person has left: what tells of their mail goes; how the page looks may stay. */
  forget(): void {
    clearTimeout(this.timer);
    this.client = null;
    const { theme, language } = this;
    this.take({ ...DEFAULTS, theme, language });
    this.base = this.now;
    this.account = "";
    this.keep();
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
