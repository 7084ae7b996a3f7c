/** What is kept from the person of a mailbox, and whom they will hear from; read when somebody first asks for it. */

import { MethodError, QUARANTINE } from "../lib/jmap/client";
import type { GetAnswer, Id, QueryAnswer, SetAnswer, SetError } from "../lib/jmap/types";
import type { QuarantinedContent, QuarantinedEmail, SenderAction, SenderRule } from "../lib/mail/quarantine";
import { t, texts } from "./i18n.svelte";
import { reasonOf, type Mail } from "./mail.svelte";

const PAGE = 50;
const LISTED = ["receivedAt", "from", "subject", "size", "judgement", "reasons", "mayRelease", "mayAsk", "askedAt", "answer", "answerReason", "notJunkAt"];
type Verb = "release" | "askForRelease" | "reportNotJunk";
const REFUSED = { release: "notReleased", askForRelease: "notAsked", reportNotJunk: "notReported" } as const;

export class Quarantine {
  list = $state.raw<QuarantinedEmail[]>([]);
  total = $state(0);
  rules = $state.raw<SenderRule[]>([]);
  isLoaded = $state(false);
  isBusy = $state(false);
  problem = $state("");
  /** What was just done, in words. */
  said = $state("");
  private wanted = PAGE;

  constructor(private readonly mail: Mail) {
    mail.listen("SenderRule", () => void this.loadRules());
  }

  /** Never fails: what is known stays. */
  async load(): Promise<void> {
    try {
      const client = this.mail.client;
      const query = client.call<QueryAnswer>("QuarantinedEmail/query", { limit: this.wanted, calculateTotal: true });
      const get = client.call<GetAnswer<QuarantinedEmail>>("QuarantinedEmail/get", { "#ids": query.reference("/ids"), properties: LISTED });
      const [{ total, ids }, { list }] = await Promise.all([query, get]);
      this.list = list;
      this.total = total ?? ids.length;
      this.isLoaded = true;
      await this.loadRules();
    } catch (error) {
      this.problem = reasonOf(error);
    }
  }

  async more(): Promise<void> {
    this.wanted += PAGE;
    await this.load();
  }

  /** Raises what calls raise. */
  async look(id: Id): Promise<QuarantinedContent | null> {
    const { list } = await this.mail.client.call<GetAnswer<QuarantinedContent>>("QuarantinedEmail/get", { ids: [id], properties: ["headers", "text", "isComplete", "attachments"] });
    return list[0] ?? null;
  }

  release(email: QuarantinedEmail): Promise<boolean> {
    return this.act("release", email.id, t("quarantine.released"));
  }

  ask(email: QuarantinedEmail, comment: string): Promise<boolean> {
    return this.act("askForRelease", email.id, t("quarantine.asked.done"), { comment });
  }

  reportNotJunk(email: QuarantinedEmail): Promise<boolean> {
    return this.act("reportNotJunk", email.id, t("quarantine.reported.done"));
  }

  async rule(sender: string, action: SenderAction): Promise<boolean> {
    return await this.try(async () => {
      const answer = await this.mail.client.call<SetAnswer>("SenderRule/set", { create: { rule: { sender, action } } });
      const refused = answer.notCreated?.rule;
      if (refused?.type === "invalidProperties") throw new MethodError(refused.type, t("quarantine.rules.wrong"));
      if (refused) throw new MethodError(refused.type, refused.description);
      this.said = t(`quarantine.rules.${action}.done`, { sender });
      await this.loadRules();
    });
  }

  async forget(rule: SenderRule): Promise<void> {
    await this.try(async () => {
      await this.mail.client.call<SetAnswer>("SenderRule/set", { destroy: [rule.id] });
      this.said = t("quarantine.rules.gone", { sender: rule.sender });
      await this.loadRules();
    });
  }

  /** What is written to the person is to be in the language they read. Never fails: it is a help only. */
  async tellLanguage(): Promise<void> {
    await this.mail.client.call("QuarantineSettings/set", { update: { singleton: { language: texts.language } } }).catch(() => {});
  }

  private async loadRules(): Promise<void> {
    this.rules = (await this.mail.client.call<GetAnswer<SenderRule>>("SenderRule/get", { ids: null })).list;
  }

  private act(verb: Verb, id: Id, said: string, more: Record<string, unknown> = {}): Promise<boolean> {
    return this.try(async () => {
      const answer = await this.mail.client.call<Record<string, Record<Id, SetError>>>(`QuarantinedEmail/${verb}`, { ids: [id], ...more });
      const refused = answer[REFUSED[verb]]?.[id];
      if (refused !== undefined && refused.type !== "notFound") throw new MethodError(refused.type, refused.description);
      this.said = refused === undefined ? said : t("quarantine.gone");
      await this.load();
    });
  }

  private async try(act: () => Promise<void>): Promise<boolean> {
    this.problem = "";
    this.said = "";
    this.isBusy = true;
    try {
      await act();
      return true;
    } catch (error) {
      this.problem = t("quarantine.failed", { why: reasonOf(error) });
      return false;
    } finally {
      this.isBusy = false;
    }
  }
}

const known = new WeakMap<Mail, Quarantine>();

export function quarantineOf(mail: Mail): Quarantine {
  const found = known.get(mail) ?? new Quarantine(mail);
  known.set(mail, found);
  return found;
}

/** Whether the server keeps a quarantine, and this person may act on that of this mailbox. */
export function hasQuarantine(mail: Mail): boolean {
  return QUARANTINE in mail.client.account.accountCapabilities;
}
