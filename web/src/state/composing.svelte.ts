/** Messages being written: begun, put away, sent with a moment to think again or at a time of one's choice. */

import { toHtml, toPlain } from "../lib/mail/convert";
import { longMoment } from "../lib/mail/when";
import { shown } from "../lib/mail/address";
import { fetchView } from "../lib/mail/view";
import { begin, quote, type Kind } from "../lib/mail/reply";
import type { Email, EmailAddress, Id } from "../lib/jmap/types";
import { priorityOf } from "../lib/mail/priority";
import { Draft } from "./draft.svelte";
import { t, texts } from "./i18n.svelte";
import { reasonOf, type Mail } from "./mail.svelte";
import { isOnItsWay, type Outbox, type Sendable } from "./outbox.svelte";
import { settings } from "./settings.svelte";
import { toasts } from "./toasts.svelte";

export class Composing {
  open = $state.raw<Draft | null>(null);

  constructor(
    private readonly mail: Mail,
    readonly outbox: Outbox,
    private readonly beforeShown: () => void,
  ) {}

  /** An empty message, or one to somebody. */
  write(to: EmailAddress[] = []): void {
    const draft = new Draft(this.mail);
    draft.to = to;
    draft.body = this.signature(draft);
    this.show(draft);
  }

  /** A reply or forward; `html` is the cleaned HTML of the email where it is known. */
  answer(kind: Kind, email: Email, html: string | null): void {
    const draft = new Draft(this.mail);
    const { to, cc, subject, inReplyTo, references } = begin(kind, email, this.mail.own);
    Object.assign(draft, { to, cc, subject, inReplyTo, references });
    draft.identityId = this.identityFor(email) ?? draft.identityId;
    draft.about = { id: email.id, keyword: kind === "forward" ? "$forwarded" : "$answered" };
    if (kind === "forward") draft.attachBlobs(email.attachments.filter(({ cid, disposition }) => html === null || cid === null || disposition !== "inline"));
    draft.body = this.signature(draft) + this.original(kind, email, draft.rich ? html : null, draft.rich);
    this.show(draft);
  }

  /** The message itself, as it came, in a new one. */
  forwardAttached(email: Email): void {
    const draft = new Draft(this.mail);
    draft.subject = begin("forward", email, []).subject;
    draft.body = this.signature(draft);
    draft.about = { id: email.id, keyword: "$forwarded" };
    const name = `${(email.subject ?? "message").slice(0, 80)}.eml`;
    draft.attachBlobs([{ partId: null, blobId: email.blobId, size: email.size, name, type: "message/rfc822", charset: null, disposition: "attachment", cid: null }]);
    this.show(draft);
  }

  /** Go on with a draft. */
  async edit(emailId: Id): Promise<void> {
    const email = await this.mail.readEmail(emailId);
    if (email === undefined) return;
    const draft = new Draft(this.mail);
    Object.assign(draft, {
      emailId, to: email.to ?? [], cc: email.cc ?? [], bcc: email.bcc ?? [], subject: email.subject ?? "",
      inReplyTo: email.inReplyTo, references: email.references, saved: "yes",
    });
    const html = email.htmlBody.find(({ type }) => type === "text/html");
    draft.rich = html !== undefined;
    draft.body = html === undefined ? plainOf(email) : (await this.readHtml(email.id));
    // Pictures that the text shows come with the text.
    draft.attachBlobs(email.attachments.filter(({ cid, disposition }) => !draft.rich || cid === null || disposition !== "inline"));
    draft.priority = priorityOf(email);
    this.show(draft);
  }

  private async readHtml(emailId: Id): Promise<string> {
    return (await fetchView(this.mail.client.accountId, emailId)).html;
  }

  private show(draft: Draft): void {
    if (this.open !== null && !this.open.isEmpty) void this.open.save();
    this.beforeShown();
    this.open = draft;
    toasts.clear();
  }

  /** Put away; what was typed is in Drafts. */
  async putAway(): Promise<void> {
    const draft = this.open;
    this.open = null;
    if (draft !== null) {
      await draft.save();
      draft.letGo();
    }
    this.mail.hear(null);
  }

  discard(): void {
    const draft = this.open;
    this.open = null;
    if (draft === null) return;
    draft.destroy().then(
      () => toasts.show(t("compose.discarded")),
      (error: unknown) => toasts.problem(t("done.failed", { why: reasonOf(error) })),
    );
  }

  /** Saved now and sent in a moment, or at `at`: until then it can be taken back. */
  async send(draft: Draft, at: Date | null = null): Promise<void> {
    draft.touch();
    await draft.save();
    if (draft.isQueued) {
      await draft.queueWith(this.outbox.submission({ ...draftOf(draft), emailId: "#draft" }, at ?? 0));
      this.open = null;
      draft.close();
      toasts.show(t("offline.willSend"));
      return;
    }
    if (draft.emailId === null || draft.problem !== "") return;
    this.open = null;
    draft.close();
    const seconds = settings.undoSeconds;
    try {
      const id = await this.outbox.submit(draft, at ?? seconds);
      if (at !== null) this.tell(t("compose.scheduled", { when: longMoment(at.toISOString(), texts.locale) }), draft, id);
      else if (seconds === 0) toasts.show(t("compose.sent"));
      else {
        this.tell(t("compose.sending", { seconds }), draft, id);
        void this.outbox.confirm(id, seconds);
      }
    } catch (error) {
      this.show(draft);
      draft.problem = t("compose.notSent", { why: reasonOf(error) });
    }
  }

  private tell(text: string, draft: Draft, id: Id): void {
    toasts.show(text, () => void this.takeBack(id, draft.emailId!, () => this.show(draft)));
  }

  /** Out of the outbox and into the composer again. */
  async takeBack(submissionId: Id, emailId: Id, show: () => void = () => void this.edit(emailId)): Promise<void> {
    try {
      await this.outbox.cancel(submissionId);
      show();
    } catch (error) {
      toasts.problem(isOnItsWay(error) ? t("compose.tooLate") : t("done.failed", { why: reasonOf(error) }));
    }
  }

  private identityFor(email: Email): Id | undefined {
    const to = [...(email.to ?? []), ...(email.cc ?? [])].map((person) => person.email.toLowerCase());
    return this.mail.identities.find((identity) => to.includes(identity.email.toLowerCase()))?.id;
  }

  private signature(draft: Draft): string {
    const text = this.mail.identities.find(({ id }) => id === draft.identityId)?.textSignature ?? "";
    if (text === "") return draft.rich ? "<div><br></div>" : "";
    const plain = `\n\n-- \n${text}`;
    return draft.rich ? toHtml(plain) : plain;
  }

  private original(kind: Kind, email: Email, html: string | null, rich: boolean): string {
    const name = shown(email.from?.[0]);
    const date = longMoment(email.sentAt ?? email.receivedAt, texts.locale);
    const plain = plainOf(email);
    if (kind !== "forward") {
      const intro = t("compose.wrote", { date, name });
      return rich ? `<div><br></div><div>${toHtml(intro)}</div><blockquote>${html ?? toHtml(plain)}</blockquote>` : `\n\n${intro}\n${quote(plain)}\n`;
    }
    const head = [
      `---------- ${t("compose.forwarded")} ----------`,
      `${t("reader.from")}: ${(email.from ?? []).map((p) => `${p.name ?? ""} <${p.email}>`.trim()).join(", ")}`,
      `${t("reader.date")}: ${date}`,
      `${t("compose.subject")}: ${email.subject ?? ""}`,
      `${t("reader.to")}: ${(email.to ?? []).map(shown).join(", ")}`,
    ].join("\n");
    return rich ? `<div><br></div><div>${toHtml(head)}</div><div><br></div>${html ?? toHtml(plain)}` : `\n\n${head}\n\n${plain}`;
  }
}

function draftOf({ emailId, identityId, recipients, about }: Draft): Sendable {
  return { emailId, identityId, recipients, about };
}

/** The text of an email as its sender wrote it, or of its HTML. */
function plainOf(email: Email): string {
  return email.textBody
    .map(({ partId, type }) => {
      const value = email.bodyValues[partId ?? ""]?.value ?? "";
      return type === "text/html" ? toPlain(value) : value;
    })
    .join("\n");
}
