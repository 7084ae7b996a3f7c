/** The filters of a mailbox (docs/jmap-filters.md); read when somebody first asks for them. */

import { FILTERS, MethodError } from "../lib/jmap/client";
import type { Email, GetAnswer, Id, Patch, SetAnswer, SetError } from "../lib/jmap/types";
import { filterLike, newFilter, type FilterCondition, type Forwarding, type MailFilter, type Problem } from "../lib/mail/filters";
import { isLabel, toName } from "../lib/mail/labels";
import { t, texts } from "./i18n.svelte";
import { reasonOf, type Mail } from "./mail.svelte";
import { folderName } from "./names";

const LIST_ID = "header:List-Id:asText";

export class Filters {
  list = $state.raw<MailFilter[]>([]);
  forwarding = $state<Forwarding>("inside");
  isLoaded = $state(false);
  /** The one that is being written. */
  draft = $state<MailFilter | null>(null);
  problem = $state("");

  constructor(private readonly mail: Mail) {
    mail.listen("Filter", () => void this.load());
  }

  /** Never fails: what is known stays. */
  async load(): Promise<void> {
    try {
      const answer = await this.mail.client.call<GetAnswer<MailFilter> & { forwarding: Forwarding }>("Filter/get", { ids: null });
      this.list = answer.list;
      this.forwarding = answer.forwarding;
      this.isLoaded = true;
    } catch (error) {
      this.problem = reasonOf(error);
    }
  }

  write(filter: MailFilter = newFilter(this.next)): void {
    this.problem = "";
    this.draft = { ...filter, conditions: filter.conditions.map((one) => ({ ...one })), keywords: { ...filter.keywords } };
  }

  /** Begin one for messages like this. */
  async writeLike(email: Email): Promise<void> {
    await this.load();
    const found = await this.mail.client
      .call<GetAnswer<Record<typeof LIST_ID, string | null>>>("Email/get", { ids: [email.id], properties: [LIST_ID] })
      .catch(() => null); // the sender will do
    this.write(filterLike(this.next, email.from?.[0], found?.list[0]?.[LIST_ID] ?? null));
  }

  /** What is written becomes the filter; says whether it did. */
  async save(filter: MailFilter): Promise<boolean> {
    const { id, problems: _, ...properties } = filter;
    const done = await this.set(id === null ? { create: { filter: properties } } : { update: { [id]: properties } });
    if (done) this.draft = null;
    return done;
  }

  async destroy(id: Id): Promise<void> {
    if (await this.set({ destroy: [id] })) this.draft = null;
  }

  async switch(filter: MailFilter): Promise<void> {
    await this.set({ update: { [filter.id!]: { isEnabled: !filter.isEnabled } } });
  }

  async move(filter: MailFilter, by: 1 | -1): Promise<void> {
    const order = [...this.list];
    const from = order.indexOf(filter);
    order.splice(from, 1);
    order.splice(from + by, 0, filter);
    const moved = order.map((one, sortOrder) => [one.id!, { sortOrder }] as const).filter(([, patch], place) => order[place]!.sortOrder !== patch.sortOrder);
    this.list = order;
    await this.set({ update: Object.fromEntries(moved) });
  }

  /** File what stands in the Inbox already; how many messages that were, or null where it failed. */
  async run(): Promise<number | null> {
    this.problem = "";
    try {
      const { changed } = await this.mail.client.call<{ changed: number }>("Filter/apply", { mailboxId: this.mail.withRole("inbox")?.id, ids: null });
      return changed;
    } catch (error) {
      this.problem = reasonOf(error);
      return null;
    }
  }

  private get next(): number {
    return Math.max(-1, ...this.list.map(({ sortOrder }) => sortOrder)) + 1;
  }

  private async set(change: { create?: Patch; update?: Patch; destroy?: Id[] }): Promise<boolean> {
    this.problem = "";
    try {
      const answer = await this.mail.client.call<SetAnswer>("Filter/set", change);
      const refused: (SetError & { problem?: Problem }) | undefined = Object.values({ ...answer.notCreated, ...answer.notUpdated, ...answer.notDestroyed })[0];
      if (refused?.problem !== undefined) this.problem = t(`filters.problem.${refused.problem}`);
      else if (refused !== undefined) throw new MethodError(refused.type, refused.description);
      return refused === undefined;
    } catch (error) {
      this.problem = t("filters.failed", { why: reasonOf(error) });
      return false;
    } finally {
      await this.load();
    }
  }
}

const known = new WeakMap<Mail, Filters>();

export function filtersOf(mail: Mail): Filters {
  const found = known.get(mail) ?? new Filters(mail);
  known.set(mail, found);
  return found;
}

/** Whether the server has filters, and this person may set them here. */
export function hasFilters(mail: Mail): boolean {
  return FILTERS in mail.client.account.accountCapabilities;
}

// ---------------------------------------------------------------------- in words

export function conditionWords({ field, comparison, isNegated, value, size }: FilterCondition): string {
  const how = t(`filters.${isNegated ? "not" : "does"}.${comparison}`);
  const what = field === "size" ? t("filters.size", { size: texts.number(size / 1_000_000) }) : value;
  return [t(`filters.field.${field}`), how, what].filter(Boolean).join(" ");
}

/** What a filter does, each thing in a few words. */
export function actionWords(filter: MailFilter, mail: Mail): string[] {
  const folder = mail.folder(filter.mailboxId);
  const found: string[] = [];
  if (filter.mailboxId !== null) found.push(t("filters.says.folder", { folder: folder ? folderName(folder) : t("filters.folder.gone") }));
  for (const keyword of Object.keys(filter.keywords).filter(isLabel)) found.push(t("filters.says.label", { label: toName(keyword) }));
  if ("$seen" in filter.keywords) found.push(t("filters.read"));
  if ("$flagged" in filter.keywords) found.push(t("filters.flag"));
  if (filter.forwardTo !== null) found.push(t("filters.says.forward", { address: filter.forwardTo }));
  if (filter.stop) found.push(t("filters.stop"));
  return found;
}
