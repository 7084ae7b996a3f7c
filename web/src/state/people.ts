/** People to write to: those met in this mailbox's mail, the person's contacts, and the organisation's directory. */

import type { EmailAddress, EmailSummary, GetAnswer, QueryAnswer } from "../lib/jmap/types";
import { matches, rank, weightOf, type Known } from "../lib/mail/completion";
import type { Contacts } from "./contacts.svelte";
import type { Mail } from "./mail.svelte";

const LOOKED_AT = 200;
/** Fewer letters say too little to ask the server. */
export const LETTERS_TO_ASK = 2;
const LETTERS_TO_SEARCH_MAIL = 3;

type Met = Pick<EmailSummary, "id" | "receivedAt" | "from" | "to"> & { cc: EmailAddress[] | null };

export class People {
  private readonly met = new Map<string, EmailAddress>();
  private readonly weights = new Map<string, number>();
  private readonly counted = new Set<string>();
  private learning: Promise<void> | null = null;

  constructor(
    private readonly mail: Mail,
    private readonly contacts: Contacts,
  ) {}

  /** Of those met so far, without asking anybody. */
  here(typed: string): EmailAddress[] {
    return this.ranked(typed, []);
  }

  /** Those met most and latest, once that is known. Never fails. */
  async nearest(): Promise<EmailAddress[]> {
    this.learning ??= this.learn({});
    await this.learning;
    return rank([...this.met.values()].map((person) => ({ person, origin: "met" as const })), this.weights);
  }

  /** Of all there are. Never fails: one can always type the address. */
  async everywhere(typed: string): Promise<EmailAddress[]> {
    if (typed.length < LETTERS_TO_ASK) return this.here(typed);
    this.learning ??= this.learn({});
    const [cards] = await Promise.all([this.contacts.search(typed).catch(() => []), this.learning]);
    const found = this.ranked(typed, cards);
    if (found.length > 0 || typed.length < LETTERS_TO_SEARCH_MAIL) return found;
    await this.learn({ operator: "OR", conditions: [{ from: typed }, { to: typed }] });
    return this.ranked(typed, cards);
  }

  private ranked(typed: string, cards: readonly Known[]): EmailAddress[] {
    const met = [...this.met.values()].map((person): Known => ({ person, origin: "met" }));
    return rank(
      [...met, ...cards].filter(({ person }) => matches(person, typed)),
      this.weights,
    );
  }

  private async learn(filter: object): Promise<void> {
    const { client } = this.mail;
    try {
      const query = client.call<QueryAnswer>("Email/query", { filter, sort: [{ property: "receivedAt", isAscending: false }], limit: LOOKED_AT });
      const emails = client.call<GetAnswer<Met>>("Email/get", { "#ids": query.reference("/ids"), properties: ["id", "receivedAt", "from", "to", "cc"] });
      await query;
      for (const email of (await emails).list) this.note(email);
    } catch {
      // It is learned with the next letters.
      this.learning = null;
    }
  }

  private note({ id, receivedAt, from, to, cc }: Met): void {
    if (this.counted.has(id)) return;
    this.counted.add(id);
    const own = new Set(this.mail.own.map(({ email }) => email.toLowerCase()));
    const byMe = (from ?? []).some(({ email }) => own.has(email.toLowerCase()));
    const weight = weightOf(Date.parse(receivedAt), Date.now(), byMe);
    for (const person of [...(from ?? []), ...(to ?? []), ...(cc ?? [])]) {
      const key = person.email.toLowerCase();
      // One meets oneself in every email, and hardly ever means it.
      if (own.has(key)) continue;
      this.weights.set(key, (this.weights.get(key) ?? 0) + weight);
      if (!this.met.get(key)?.name) this.met.set(key, person);
    }
  }
}
