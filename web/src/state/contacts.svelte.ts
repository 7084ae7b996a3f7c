/** A person's contacts and the organisation's directory (JMAP for Contacts, RFC 9610), where the server has them. */

import { SvelteMap } from "svelte/reactivity";
import { CONTACTS, MethodError, type JmapClient } from "../lib/jmap/client";
import type { EmailAddress, GetAnswer, Id, QueryAnswer, SetAnswer } from "../lib/jmap/types";
import { CARD_PROPERTIES, cardOf, isOwn, peopleOn, type Card } from "../lib/mail/cards";
import type { Known } from "../lib/mail/completion";
import { shown } from "../lib/mail/address";
import { t } from "./i18n.svelte";
import { reasonOf } from "./mail.svelte";
import { toasts } from "./toasts.svelte";

const MOST_FOUND = 50;

export class Contacts {
  /** Whether there are contacts to look into at all. */
  readonly isThere: boolean;
  readonly mayAdd: boolean;
  /** The person's own card by address, as far as it was asked for; null: there is none. */
  private readonly cards = new SvelteMap<string, Id | null>();

  constructor(private readonly client: JmapClient) {
    this.isThere = CONTACTS in client.account.accountCapabilities;
    this.mayAdd = this.isThere && !client.account.isReadOnly;
  }

  /** Those with all words of `typed` somewhere on their card. Raises `MethodError`, `HttpError`, `Unreachable`. */
  async search(typed: string): Promise<Known[]> {
    if (!this.isThere) return [];
    const found = await this.find({ text: typed });
    return found.flatMap((card) => peopleOn(card).map((person) => ({ person, origin: isOwn(card) ? ("contact" as const) : ("directory" as const) })));
  }

  /** Whether somebody is among the person's own contacts; undefined until it is known. */
  has({ email }: EmailAddress): boolean | undefined {
    const card = this.cards.get(email.toLowerCase());
    return card === undefined ? undefined : card !== null;
  }

  /** Find out whether there is a card of somebody. Never fails: it stays unknown then. */
  async look({ email }: EmailAddress): Promise<void> {
    const key = email.toLowerCase();
    if (!this.mayAdd || this.cards.has(key)) return;
    try {
      const found = await this.find({ email });
      const card = found.find((one) => isOwn(one) && peopleOn(one).some((person) => person.email.toLowerCase() === key));
      this.cards.set(key, card?.id ?? null);
    } catch {
      // It is asked again when the details are opened again.
    }
  }

  /** Cards have changed elsewhere: ask again. */
  forget(): void {
    this.cards.clear();
  }

  /** Into the person's default address book, with undo; what went wrong is told. */
  async add(person: EmailAddress): Promise<void> {
    const key = person.email.toLowerCase();
    if (!this.mayAdd || this.cards.get(key)) return;
    try {
      const { created, notCreated } = await this.client.call<SetAnswer>("ContactCard/set", { create: { card: cardOf(person) } });
      const problem = notCreated?.card;
      if (problem !== undefined) throw new MethodError(problem.type, problem.description);
      this.cards.set(key, created!.card!.id);
      toasts.show(t("contacts.added", { name: shown(person) }), () => void this.remove(key));
    } catch (error) {
      toasts.problem(t("done.failed", { why: reasonOf(error) }));
    }
  }

  private async remove(key: string): Promise<void> {
    const id = this.cards.get(key);
    if (!id) return;
    try {
      const { notDestroyed } = await this.client.call<SetAnswer>("ContactCard/set", { destroy: [id] });
      const problem = notDestroyed?.[id];
      if (problem !== undefined && problem.type !== "notFound") throw new MethodError(problem.type, problem.description);
      this.cards.set(key, null);
    } catch (error) {
      toasts.problem(t("done.failed", { why: reasonOf(error) }));
    }
  }

  private async find(filter: object): Promise<Card[]> {
    const query = this.client.call<QueryAnswer>("ContactCard/query", { filter, limit: MOST_FOUND });
    const cards = this.client.call<GetAnswer<Card>>("ContactCard/get", { "#ids": query.reference("/ids"), properties: CARD_PROPERTIES });
    await query;
    return (await cards).list;
  }
}
