/** The page of contacts: the person's own cards and the organisation's directory (RFC 9610), found, shown and changed. */

import { SvelteMap } from "svelte/reactivity";
import { MethodError } from "../lib/jmap/client";
import type { GetAnswer, Id, QueryAnswer, SetAnswer, SetError } from "../lib/jmap/types";
import { formOf, newCard, patchOf, type CardForm } from "../lib/mail/cardform";
import { DIRECTORY, nameOf, peopleOn, type Card } from "../lib/mail/cards";
import type { Accounts } from "./accounts.svelte";
import { t } from "./i18n.svelte";
import { reasonOf } from "./mail.svelte";
import { route } from "./route.svelte";
import { toasts } from "./toasts.svelte";

export const BOOKS = ["all", "own", "directory"] as const;
export type Book = (typeof BOOKS)[number];

const WINDOW = 50;
/** Ids asked for with one query (the server's limit of objects in one answer). */
const MOST_IDS = 500;
const MOST_QUERIES = 40;
const LISTED: readonly (keyof Card)[] = ["id", "addressBookIds", "name", "emails", "organizations", "titles"];
const ASK_AFTER_MS = 150;

interface AddressBook {
  id: Id;
}

/** A form being filled in, and the card as it was when that began; null: a new one. */
export interface Draft {
  base: Card | null;
  form: CardForm;
}

export class Cards {
  ids = $state.raw<readonly Id[]>([]);
  text = $state("");
  book = $state<Book>("all");
  cursor = $state(-1);
  isLoaded = $state(false);
  /** Why there is no list, or "". */
  problem = $state("");
  /** The directory is too large to be listed: it is searched by a word. */
  isTooLarge = $state(false);
  /** As far as they were shown; those opened have all their properties. */
  readonly known = new SvelteMap<Id, Card>();
  /** What was typed into forms that were left: by card, "" the new one. */
  private readonly drafts = new Map<Id, Draft>();
  private readonly listed = new Set<Id>();
  private readonly whole = new Set<Id>();
  private books: Promise<Id[]> | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private generation = 0;

  constructor(private readonly accounts: Accounts) {
    for (const type of ["ContactCard", "AddressBook"]) accounts.own.mail.listen(type, () => void this.refresh());
    void this.load();
  }

  get mayChange(): boolean {
    return this.accounts.contacts.mayAdd;
  }

  /** Once nobody types. */
  search(text: string): void {
    this.text = text;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.load(), ASK_AFTER_MS);
  }

  choose(book: Book): void {
    this.book = book;
    void this.load();
  }

  async load(): Promise<void> {
    const generation = (this.generation += 1);
    try {
      const found = await this.findAll();
      if (generation !== this.generation) return;
      this.ids = found;
      this.cursor = Math.min(this.cursor, found.length - 1);
      this.problem = "";
      await this.show(0, WINDOW - 1);
    } catch (error) {
      if (generation !== this.generation) return;
      this.problem = reasonOf(error);
    }
    this.isLoaded = true;
  }

  /** Something has changed at the server. */
  private async refresh(): Promise<void> {
    this.books = null;
    this.accounts.contacts.forget();
    this.listed.clear();
    this.whole.clear();
    const open = route.place.contacts?.card;
    await Promise.all([this.load(), open ? this.open(open) : null]);
  }

  /** Rows `first` to `last` are to be seen. */
  async show(first: number, last: number): Promise<void> {
    const start = Math.floor(Math.max(first, 0) / WINDOW) * WINDOW;
    const missing = this.ids.slice(start, Math.ceil((last + 1) / WINDOW) * WINDOW).filter((id) => !this.listed.has(id));
    if (missing.length > 0) await this.fetch(missing.slice(0, MOST_IDS), LISTED).catch(() => {}); // the names come when it is seen again
  }

  /** All that is on a card. Null: there is none. Raises `MethodError`, `HttpError`, `Unreachable`. */
  async open(id: Id): Promise<Card | null> {
    if (!this.whole.has(id)) await this.fetch([id], null);
    return this.known.get(id) ?? null;
  }

  private async fetch(ids: readonly Id[], properties: readonly string[] | null): Promise<void> {
    const { list, notFound } = await this.client.call<GetAnswer<Card>>("ContactCard/get", { ids, properties });
    for (const card of list) {
      if (properties === null) this.whole.add(card.id);
      else this.listed.add(card.id);
      if (properties === null || !this.whole.has(card.id)) this.known.set(card.id, card);
    }
    for (const id of notFound) this.known.delete(id);
  }

  private get client(): Accounts["own"]["mail"]["client"] {
    return this.accounts.own.mail.client;
  }

  /** A directory that is too large for a list is left out, and that is told. */
  private async findAll(): Promise<Id[]> {
    this.isTooLarge = false;
    try {
      return await this.find(this.book);
    } catch (error) {
      if (!(error instanceof MethodError) || error.type !== "requestTooLarge") throw error;
      this.isTooLarge = true;
      return this.book === "all" ? this.find("own") : [];
    }
  }

  private async find(book: Book): Promise<Id[]> {
    const filter = await this.filterOf(book);
    const found: Id[] = [];
    for (let query = 0; query < MOST_QUERIES; query += 1) {
      const { ids, total } = await this.client.call<QueryAnswer>("ContactCard/query", {
        filter, sort: [{ property: "name", isAscending: true }], position: found.length, limit: MOST_IDS, calculateTotal: true,
      });
      found.push(...ids);
      if (ids.length === 0 || found.length >= (total ?? 0)) break;
    }
    return [...new Set(found)];
  }

  private async filterOf(book: Book): Promise<object> {
    const text = this.text.trim();
    const words = text === "" ? {} : { text };
    if (book === "all") return words;
    if (book === "directory") return { inAddressBook: DIRECTORY, ...words };
    const places = (await this.ownBooks()).map((id) => ({ inAddressBook: id, ...words }));
    return places.length === 1 ? places[0]! : { operator: "OR", conditions: places };
  }

  private ownBooks(): Promise<Id[]> {
    this.books ??= this.client
      .call<GetAnswer<AddressBook>>("AddressBook/get", { ids: null, properties: ["id"] })
      .then(({ list }) => list.map(({ id }) => id).filter((id) => id !== DIRECTORY));
    return this.books;
  }

  // ---------------------------------------------------------------- changing

  /** The form of a card as it was left, else from the card. */
  draft(id: Id | null): Draft {
    const base = id === null ? null : (this.known.get(id) ?? null);
    return this.drafts.get(id ?? "") ?? { base, form: formOf(base) };
  }

  keep({ base, form }: Draft): void {
    this.drafts.set(base?.id ?? "", { base, form });
  }

  forget({ base }: Draft): void {
    this.drafts.delete(base?.id ?? "");
  }

  /** The id of what was saved. Raises `MethodError`, `HttpError`, `Unreachable`. */
  async save(draft: Draft): Promise<Id> {
    const { base, form } = draft;
    const saved = base === null ? await this.create(newCard(form)) : await this.update(base.id, patchOf(form, base));
    this.forget(draft);
    await this.refresh();
    return saved;
  }

  /** Goes at once, with undo; what went wrong is told. */
  async remove(card: Card): Promise<void> {
    try {
      // The card as a whole is what comes back.
      const whole = (await this.open(card.id)) ?? card;
      const answer = await this.client.call<SetAnswer>("ContactCard/set", { destroy: [card.id] });
      refused(answer.notDestroyed?.[card.id]);
      toasts.show(t("contacts.deleted", { name: titleOf(card) }), () => void this.restore(whole));
      await this.refresh();
    } catch (error) {
      toasts.problem(t("done.failed", { why: reasonOf(error) }));
    }
  }

  private async restore({ id: _, ...card }: Card): Promise<void> {
    try {
      const id = await this.create(card);
      await this.refresh();
      if (route.place.contacts) route.go({ contacts: { card: id, edits: false } }, "replace");
    } catch (error) {
      toasts.problem(t("done.failed", { why: reasonOf(error) }));
    }
  }

  private async create(card: object): Promise<Id> {
    const { created, notCreated } = await this.client.call<SetAnswer>("ContactCard/set", { create: { card } });
    refused(notCreated?.card);
    return created!.card!.id;
  }

  private async update(id: Id, patch: object): Promise<Id> {
    if (Object.keys(patch).length === 0) return id;
    const { notUpdated } = await this.client.call<SetAnswer>("ContactCard/set", { update: { [id]: patch } });
    refused(notUpdated?.[id]);
    return id;
  }
}

function refused(problem: SetError | undefined): void {
  if (problem !== undefined) throw new MethodError(problem.type, problem.description);
}

/** What a card is called: its name, else its organisation or address. */
export function titleOf(card: Card): string {
  const organisation = Object.values(card.organizations ?? {})[0]?.name;
  return nameOf(card) ?? organisation ?? peopleOn(card)[0]?.email ?? Object.values(card.phones ?? {})[0]?.number ?? t("contacts.nameless");
}

const pages = new WeakMap<Accounts, Cards>();

/** The page stays as it was left. */
export function cardsOf(accounts: Accounts): Cards {
  const page = pages.get(accounts) ?? new Cards(accounts);
  pages.set(accounts, page);
  return page;
}
