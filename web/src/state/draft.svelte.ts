/** One message being written: what is in it, and how it becomes a draft at the server while one types. */

import { toPlain } from "../lib/mail/convert";
import { outgoing } from "../lib/mail/inline";
import { isAddress, unique } from "../lib/mail/address";
import { MethodError, Unreachable } from "../lib/jmap/client";
import type { BodyPart, Email, EmailAddress, GetAnswer, Id, SetAnswer } from "../lib/jmap/types";
import { t } from "./i18n.svelte";
import { reasonOf, type Mail } from "./mail.svelte";
import { newKey, type Calls } from "./queue.svelte";
import { settings } from "./settings.svelte";

const SAVE_AFTER_MS = 1_500;

export interface Attachment {
  key: number;
  name: string;
  type: string;
  size: number;
  blobId: Id | null;
  progress: number;
  abort: AbortController | null;
}

export type Priority = "high" | "normal" | "low";

/** RFC 4021 §2.1.54 and what mail programs agreed upon. */
const PRIORITY_FIELDS: Record<Priority, Record<string, string>> = {
  high: { "header:X-Priority:asText": "1", "header:Importance:asText": "high" },
  normal: {},
  low: { "header:X-Priority:asText": "5", "header:Importance:asText": "low" },
};

let serial = 0;

/** One message being written. */
export class Draft {
  readonly key = serial++;
  to = $state.raw<EmailAddress[]>([]);
  cc = $state.raw<EmailAddress[]>([]);
  bcc = $state.raw<EmailAddress[]>([]);
  subject = $state("");
  /** What was typed: plain text, or HTML where `rich`. */
  body = $state("");
  rich = $state(settings.richText);
  identityId = $state("");
  attachments = $state<Attachment[]>([]);
  saved = $state<"no" | "saving" | "here" | "yes">("no");
  problem = $state("");
  warnedOfAttachment = false;
  emailId: Id | null = null;
  inReplyTo: string[] | null = null;
  references: string[] | null = null;
  /** The email this answers or forwards, and the keyword that says so. */
  about: { id: Id; keyword: string } | null = null;
  priority = $state<Priority>("normal");
  /** Blobs of a draft that was replaced, and where they are by now. */
  private readonly moved = new Map<Id, Id>();
  /** It is kept in this browser only. */
  isQueued = $state(false);
  private readonly queueKey = newKey();
  private isDirty = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private saving: Promise<void> = Promise.resolve();
  private wasEdited = $state(false);

  constructor(private readonly mail: Mail) {
    this.identityId = mail.identity?.id ?? "";
  }

  get recipients(): EmailAddress[] {
    return [...this.to, ...this.cc, ...this.bcc];
  }

  get isEmpty(): boolean {
    return !this.wasEdited;
  }

  get isUploading(): boolean {
    return this.attachments.some(({ blobId }) => blobId === null);
  }

  /** Something was typed or attached. */
  touch(): void {
    this.isDirty = true;
    this.wasEdited = true;
    this.saved = "no";
    this.problem = "";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.save(), SAVE_AFTER_MS);
  }

  /** One save after the other; each replaces the draft before it. */
  save(): Promise<void> {
    clearTimeout(this.timer);
    this.saving = this.saving.then(() => this.saveNow());
    return this.saving;
  }

  private async saveNow(): Promise<void> {
    if (!this.isDirty) return;
    this.isDirty = false;
    this.saved = "saving";
    const { emailId } = this;
    try {
      const answer = await this.mail.client.call<SetAnswer>("Email/set", {
        create: { draft: this.asEmail() },
        ...(emailId === null ? {} : { destroy: [emailId] }),
      });
      const problem = answer.notCreated?.draft;
      if (problem !== undefined) throw new MethodError(problem.type, problem.description);
      this.emailId = answer.created!.draft!.id;
      if (this.isQueued) await this.unqueue();
      if (emailId !== null) await this.follow(emailId, this.emailId);
      if (!this.isDirty) this.saved = "yes";
    } catch (error) {
      if (error instanceof Unreachable) {
        await this.keepHere();
        return;
      }
      this.isDirty = true;
      this.saved = "no";
      this.problem = t("compose.unsaved", { why: reasonOf(error) });
    }
  }

  /** Without a connection: in this browser, and at the server later. */
  private async keepHere(): Promise<void> {
    this.isQueued = true;
    this.mail.queue.held.add(this.queueKey);
    await this.mail.queue.put([this.creation()], this.queueKey);
    // Saved there once there is a connection, even where nothing more is typed.
    this.isDirty = true;
    this.saved = "here";
  }

  private async unqueue(): Promise<void> {
    this.isQueued = false;
    // Held until it is gone: the queue may have begun to read.
    await this.mail.queue.remove(this.queueKey);
    this.mail.queue.held.delete(this.queueKey);
  }

  /** Nobody writes on it any more: what is kept here is done when it can be. */
  letGo(): void {
    this.mail.queue.held.delete(this.queueKey);
  }

  /** It and `more` (which names it #draft), once there is a connection. */
  async queueWith(more: Calls): Promise<void> {
    const identity = this.mail.identities.find(({ id }) => id === this.identityId);
    const octets = crypto.getRandomValues(new Uint8Array(16));
    const messageId = `${[...octets].map((octet) => octet.toString(16).padStart(2, "0")).join("")}@${identity?.email.split("@")[1] ?? "localhost"}`;
    await this.mail.queue.put([this.creation({ messageId: [messageId] }), ...more], this.queueKey, messageId);
    this.letGo();
  }

  private creation(more: Record<string, unknown> = {}): Calls[number] {
    return ["Email/set", { create: { draft: { ...this.asEmail(), ...more } }, ...(this.emailId === null ? {} : { destroy: [this.emailId] }) }];
  }

  private asEmail(): Record<string, unknown> {
    const drafts = this.mail.withRole("drafts");
    const identity = this.mail.identities.find(({ id }) => id === this.identityId);
    const sent = this.rich ? outgoing(this.body, (id) => this.now(id)) : null;
    const html = sent?.html ?? null;
    const plain = html === null ? this.body : toPlain(this.body);
    const files = this.attachments.filter(({ blobId }) => blobId !== null);
    return {
      mailboxIds: drafts ? { [drafts.id]: true } : {},
      keywords: { $draft: true, $seen: true },
      from: identity ? [{ name: identity.name || null, email: identity.email }] : null,
      to: this.valid(this.to), cc: this.valid(this.cc), bcc: this.valid(this.bcc),
      subject: this.subject, inReplyTo: this.inReplyTo, references: this.references,
      textBody: [{ partId: "text", type: "text/plain" }],
      ...(html === null ? {} : { htmlBody: [{ partId: "html", type: "text/html" }] }),
      bodyValues: { text: { value: plain }, ...(html === null ? {} : { html: { value: html } }) },
      attachments: [
        ...(sent?.pictures ?? []).map((picture) => ({ ...picture, disposition: "inline" })),
        ...files.map(({ blobId, name, type }) => ({ blobId: this.now(blobId!), name, type, disposition: "attachment" })),
      ],
      ...PRIORITY_FIELDS[this.priority],
    };
  }

  private now(blobId: Id): Id {
    return this.moved.get(blobId) ?? blobId;
  }

  /** Parts of the draft before are gone with it: what was taken from them is a part of the new one. */
  private async follow(before: Id, after: Id): Promise<void> {
    const files = this.attachments.flatMap(({ blobId }) => (blobId === null ? [] : [blobId]));
    const pictures = this.rich ? outgoing(this.body).pictures : [];
    const isOld = (blobId: Id): boolean => this.now(blobId).startsWith(`M${before}-`);
    if (![...files, ...pictures.map(({ blobId }) => blobId)].some(isOld)) return;
    const { list } = await this.mail.client.call<GetAnswer<Email>>("Email/get", { ids: [after], properties: ["attachments"] });
    const parts = list[0]?.attachments ?? [];
    const others = parts.filter(({ disposition }) => disposition !== "inline");
    files.forEach((blobId, index) => this.moved.set(blobId, others[index]?.blobId ?? this.now(blobId)));
    for (const { blobId, cid } of pictures) this.moved.set(blobId, parts.find((part) => part.cid === cid)?.blobId ?? this.now(blobId));
  }

  private valid(people: EmailAddress[]): EmailAddress[] | null {
    const found = unique(people.filter(({ email }) => isAddress(email)));
    return found.length > 0 ? found : null;
  }

  async attach(files: Iterable<File>): Promise<void> {
    await Promise.all([...files].map((file) => this.attachOne(file)));
  }

  private async attachOne(file: File): Promise<void> {
    const abort = new AbortController();
    const key = serial++;
    this.attachments.push({ key, name: file.name, type: file.type || "application/octet-stream", size: file.size, blobId: null, progress: 0, abort });
    const attachment = this.attachments.find((item) => item.key === key)!;
    try {
      const { blobId } = await this.mail.client.upload(file, (part) => (attachment.progress = part), abort.signal);
      attachment.blobId = blobId;
      this.touch();
    } catch (error) {
      this.attachments = this.attachments.filter((item) => item.key !== key);
      if (!abort.signal.aborted) this.problem = t("compose.upload.failed", { name: file.name, why: reasonOf(error) });
    }
  }

  /** A picture to be shown in the text. Resolves to its address here; null where it could not be uploaded. */
  async upload(file: File): Promise<string | null> {
    try {
      const { blobId } = await this.mail.client.upload(file, () => {}, new AbortController().signal);
      return this.mail.client.downloadUrl(blobId, "image", file.type);
    } catch (error) {
      this.problem = t("compose.upload.failed", { name: file.name, why: reasonOf(error) });
      return null;
    }
  }

  attachBlobs(parts: readonly BodyPart[]): void {
    for (const part of parts) {
      if (part.blobId === null) continue;
      const name = part.name ?? t("reader.attachment.unnamed");
      this.attachments.push({ key: serial++, name, type: part.type, size: part.size, blobId: part.blobId, progress: 1, abort: null });
    }
  }

  detach(key: number): void {
    this.attachments.find((item) => item.key === key)?.abort?.abort();
    this.attachments = this.attachments.filter((item) => item.key !== key);
    this.touch();
  }

  /** Stop saving: it was sent or thrown away. */
  close(): void {
    clearTimeout(this.timer);
    this.isDirty = false;
  }

  async destroy(): Promise<void> {
    this.close();
    await this.saving;
    if (this.isQueued) await this.unqueue();
    if (this.emailId !== null) await this.mail.destroy([this.emailId]);
  }
}
