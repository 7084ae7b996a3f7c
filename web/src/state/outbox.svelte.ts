/** What waits to be sent at the server (EmailSubmission, RFC 8621 §7; the waiting is RFC 4865's). */

import { unique } from "../lib/mail/address";
import { MethodError } from "../lib/jmap/client";
import type { EmailAddress, EmailSummary, GetAnswer, Id, QueryAnswer, SetAnswer } from "../lib/jmap/types";
import { t } from "./i18n.svelte";
import type { Calls } from "./queue.svelte";
import { SUMMARY, type Mail } from "./mail.svelte";
import { toasts } from "./toasts.svelte";

const MOST_LISTED = 200;
const ASK_AGAIN_MS = 2_000;
const ASK_TIMES = 5;
/** What leaves sooner is about to go, and no plan. */
const SOON_MS = 60_000;

interface Submission {
  id: Id;
  emailId: Id;
  sendAt: string;
  undoStatus: "pending" | "final" | "canceled";
  deliveryStatus: Record<string, { smtpReply: string; delivered: string }> | null;
}

export interface Waiting {
  id: Id;
  emailId: Id;
  sendAt: string;
  email: EmailSummary | undefined;
}

/** What the outbox needs of a draft that was saved. */
export interface Sendable {
  emailId: Id | null;
  identityId: Id;
  recipients: EmailAddress[];
  about: { id: Id; keyword: string } | null;
}

export class Outbox {
  waiting = $state.raw<Waiting[]>([]);

  constructor(private readonly mail: Mail) {
    if (mail.hasSubmission) mail.listen("EmailSubmission", () => void this.load());
  }

  /** What was planned, the next first. */
  get planned(): Waiting[] {
    return this.waiting.filter(({ sendAt }) => Date.parse(sendAt) > Date.now() + SOON_MS);
  }

  of(emailId: Id): Waiting | undefined {
    return this.planned.find((waiting) => waiting.emailId === emailId);
  }

  /** Never fails: what is known stays. */
  async load(): Promise<void> {
    const { client } = this.mail;
    try {
      const query = client.call<QueryAnswer>("EmailSubmission/query", {
        filter: { undoStatus: "pending" }, sort: [{ property: "sentAt", isAscending: true }], limit: MOST_LISTED,
      });
      const found = client.call<GetAnswer<Submission>>("EmailSubmission/get", { "#ids": query.reference("/ids"), properties: ["id", "emailId", "sendAt"] });
      const emails = client.call<GetAnswer<EmailSummary>>("Email/get", { "#ids": found.reference("/list/*/emailId"), properties: SUMMARY });
      const [, { list }, { list: summaries }] = await Promise.all([query, found, emails]);
      this.mail.keep(summaries);
      const byId = new Map(summaries.map((email) => [email.id, email]));
      this.waiting = list.map(({ id, emailId, sendAt }) => ({ id, emailId, sendAt, email: byId.get(emailId) })).sort((one, other) => one.sendAt.localeCompare(other.sendAt));
    } catch {
      // It is asked again with the next change.
    }
  }

  /**
   * Into Sent, and on its way: at a time, or after some seconds. Resolves to the submission. Raises `MethodError`,
   * `HttpError`, `Unreachable`; the draft is one still then.
   */
  async submit(draft: Sendable, when: Date | number): Promise<Id> {
    const { mail } = this;
    const [[name, args], ...others] = this.submission(draft, when) as [Calls[number], ...Calls];
    const answer = mail.client.call<SetAnswer>(name, args);
    for (const [other, more] of others) void mail.client.call(other, more).catch(() => {}); // a mark on what was answered
    const { created, notCreated } = await answer;
    const problem = notCreated?.send;
    if (problem !== undefined) throw new MethodError(problem.type, problem.description);
    mail.hear(null);
    return created!.send!.id;
  }

  /** The calls that send a draft. */
  submission(draft: Sendable, when: Date | number): Calls {
    const { mail } = this;
    const create: Record<string, unknown> = { emailId: draft.emailId, identityId: draft.identityId };
    if (when !== 0) create.envelope = this.envelope(draft, when);
    const drafts = mail.withRole("drafts");
    const sent = mail.withRole("sent");
    const update: Record<string, unknown> = { "keywords/$draft": null, "keywords/$seen": true };
    if (drafts && sent) Object.assign(update, { [`mailboxIds/${drafts.id}`]: null, [`mailboxIds/${sent.id}`]: true });
    const calls: Calls = [["EmailSubmission/set", { create: { send: create }, onSuccessUpdateEmail: { "#send": update } }]];
    if (draft.about !== null) calls.push(["Email/set", { update: { [draft.about.id]: { [`keywords/${draft.about.keyword}`]: true } } }]);
    return calls;
  }

  private envelope(draft: Sendable, when: Date | number): unknown {
    const email = this.mail.identities.find(({ id }) => id === draft.identityId)?.email ?? "";
    const parameters = typeof when === "number" ? { HOLDFOR: String(when) } : { HOLDUNTIL: when.toISOString().replace(/\.\d+Z$/, "Z") };
    return { mailFrom: { email, parameters }, rcptTo: unique(draft.recipients).map((person) => ({ email: person.email, parameters: null })) };
  }

  /** Taken back, into Drafts. Raises `MethodError` (`isOnItsWay`), `HttpError`, `Unreachable`. */
  async cancel(id: Id): Promise<void> {
    const { mail } = this;
    const drafts = mail.withRole("drafts");
    const sent = mail.withRole("sent");
    const update: Record<string, unknown> = { "keywords/$draft": true };
    if (drafts && sent) Object.assign(update, { [`mailboxIds/${sent.id}`]: null, [`mailboxIds/${drafts.id}`]: true });
    const { notUpdated } = await mail.client.call<SetAnswer>("EmailSubmission/set", { update: { [id]: { undoStatus: "canceled" } }, onSuccessUpdateEmail: { [id]: update } });
    const problem = notUpdated?.[id];
    if (problem !== undefined) throw new MethodError(problem.type, problem.description);
    mail.hear(null);
  }

  /** Says that it was sent once it was, or why not. */
  async confirm(id: Id, afterS: number): Promise<void> {
    for (let time = 0; time < ASK_TIMES; time += 1) {
      await new Promise((done) => setTimeout(done, time === 0 ? afterS * 1000 + 500 : ASK_AGAIN_MS));
      const found = await this.mail.client.call<GetAnswer<Submission>>("EmailSubmission/get", { ids: [id] }).catch(() => null);
      const now = found?.list[0];
      if (now === undefined || now.undoStatus === "pending") continue;
      if (now.undoStatus === "canceled") return;
      const refused = Object.values(now.deliveryStatus ?? {}).find(({ delivered }) => delivered === "no");
      if (refused === undefined) toasts.show(t("compose.sent"));
      else toasts.problem(t("compose.refused", { why: refused.smtpReply }));
      return;
    }
  }
}

/** It was too late to take it back. */
export function isOnItsWay(error: unknown): boolean {
  return error instanceof MethodError && error.type === "cannotUnsend";
}
