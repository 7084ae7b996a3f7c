/** Texts in the person's language. English is always there; the others are loaded when they are wanted. */

import type english from "../messages/en.json";

export type Key = keyof typeof english;
type Text = string | Partial<Record<Intl.LDMLPluralRule, string>>;
export type Catalogue = Record<string, Text>;
export type Values = Record<string, string | number>;

export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français" } as const;
export type Language = keyof typeof LANGUAGES;

type Loaders = Record<Exclude<Language, "en">, () => Promise<{ default: Catalogue }>>;

class Texts {
  language = $state<Language>("en");
  private english: Catalogue = {};
  private loaders: Loaders | null = null;
  private catalogue = $state.raw<Catalogue>({});
  /** For dates and numbers: as the device has it where it speaks the same language. */
  readonly locale = $derived(navigator.languages.find((tag) => tag.split("-")[0] === this.language) ?? this.language);
  private readonly plurals = $derived(new Intl.PluralRules(this.language));
  private readonly numbers = $derived(new Intl.NumberFormat(this.locale));

  /** Before anything is shown: the texts of this application. */
  begin(english: Catalogue, loaders: Loaders): void {
    this.english = english;
    this.catalogue = english;
    this.loaders = loaders;
  }

  async use(language: Language): Promise<void> {
    this.catalogue = language === "en" || this.loaders === null ? this.english : (await this.loaders[language]()).default;
    this.language = language;
    document.documentElement.lang = language;
  }

  text(key: string, values: Values): string {
    let text: Text = this.catalogue[key] ?? this.english[key] ?? key;
    if (typeof text !== "string") text = text[this.plurals.select(Number(values.count))] ?? text.other ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name: string) => this.value(values[name]));
  }

  number(value: number): string {
    return this.numbers.format(value);
  }

  private value(value: string | number | undefined): string {
    return typeof value === "number" ? this.number(value) : (value ?? "");
  }
}

export const texts = new Texts();

/** The text of a key; `count` chooses the plural form. */
export function t(key: Key, values: Values = {}): string {
  return texts.text(key, values);
}

export function preferredLanguage(): Language {
  const wanted = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return (wanted.find((tag) => tag in LANGUAGES) as Language | undefined) ?? "en";
}
