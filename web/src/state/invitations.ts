/** Answering an invitation: by a message to its organiser (RFC 6047), which can be taken back like any other. */

import { MethodError } from "../lib/jmap/client";
import { keyword } from "../lib/jmap/patch";
import type { Email, Id, Identity, SetAnswer } from "../lib/jmap/types";
import { isAddress } from "../lib/mail/address";
import { reply, type Invitation, type Partstat } from "../lib/mail/calendar";
import type { Desk } from "./desk.svelte";
import { t } from "./i18n.svelte";
import { reasonOf } from "./mail.svelte";
import { settings } from "./settings.svelte";
import { toasts } from "./toasts.svelte";

export type Choice = "accepted" | "tentative" | "declined";
export const CHOICES: readonly Choice[] = ["accepted", "tentative", "declined"];

const keywordOf = (choice: Choice): string => `$everpost-${choice}`;

/** What was answered, as far as this mailbox knows. */
export function answered(keywords: Record<string, true>): Choice | null {
  return CHOICES.find((choice) => keywordOf(choice) in keywords) ?? null;
}

/** As whom the person was invited; by default as themselves. */
export function invitedAs(desk: Desk, { attendees }: Invitation): Identity | undefined {
  const { identities } = desk.mail;
  return identities.find(({ email }) => attendees.some((one) => one.email.toLowerCase() === email.toLowerCase())) ?? identities[0];
}

/** Whether there is somebody to answer to, who is somebody else. */
export function canAnswer(desk: Desk, { method, organizer, isCancelled }: Invitation): boolean {
  if (method !== "REQUEST" || isCancelled || organizer === null || !isAddress(organizer.email)) return false;
  return desk.mail.maySend && !desk.mail.own.some(({ email }) => email.toLowerCase() === organizer.email.toLowerCase());
}

export async function answer(desk: Desk, email: Email, invitation: Invitation, choice: Choice): Promise<void> {
  const identity = invitedAs(desk, invitation);
  if (identity === undefined || invitation.organizer === null) return;
  const before = desk.mail.emails.get(email.id)?.keywords ?? email.keywords;
  try {
    const emailId = await write(desk, email, invitation, choice, identity);
    const seconds = settings.undoSeconds;
    const recipients = [{ name: invitation.organizer.name || null, email: invitation.organizer.email }];
    const id = await desk.outbox.submit({ emailId, identityId: identity.id, recipients, about: null }, seconds);
    mark(desk, email.id, before, choice);
    const text = t(`invitation.sent.${choice}`, { seconds });
    if (seconds === 0) toasts.show(text);
    else toasts.show(text, () => void takeBack(desk, id, emailId, email.id, answered(before)));
  } catch (error) {
    toasts.problem(t("done.failed", { why: reasonOf(error) }));
  }
}

async function write(desk: Desk, email: Email, invitation: Invitation, choice: Choice, { name, email: own }: Identity): Promise<Id> {
  const drafts = desk.mail.withRole("drafts");
  const subject = t(`invitation.subject.${choice}`, { subject: invitation.summary || (email.subject ?? "") });
  const answer = await desk.mail.client.call<SetAnswer>("Email/set", {
    create: {
      answer: {
        mailboxIds: drafts ? { [drafts.id]: true } : {}, keywords: { $draft: true, $seen: true },
        from: [{ name: name || null, email: own }], to: [{ name: invitation.organizer!.name || null, email: invitation.organizer!.email }],
        subject, inReplyTo: email.messageId, references: email.messageId,
        bodyStructure: { type: "multipart/alternative", subParts: [{ partId: "text", type: "text/plain" }, { partId: "calendar", type: "text/calendar" }] },
        bodyValues: { text: { value: `${subject}\n` }, calendar: { value: reply(invitation, { name, email: own }, choice.toUpperCase() as Partstat) } },
      },
    },
  });
  const problem = answer.notCreated?.answer;
  if (problem !== undefined) throw new MethodError(problem.type, problem.description);
  return answer.created!.answer!.id;
}

function mark(desk: Desk, emailId: Id, before: Record<string, true>, now: Choice | null): void {
  const old = answered(before);
  const patch = { ...(old === null ? {} : keyword(keywordOf(old), false)), ...(now === null ? {} : keyword(keywordOf(now), true)) };
  if (old !== now) void desk.mail.change(new Map([[emailId, patch]]));
}

async function takeBack(desk: Desk, submissionId: Id, answerId: Id, emailId: Id, before: Choice | null): Promise<void> {
  try {
    await desk.outbox.cancel(submissionId);
    await desk.mail.destroy([answerId]);
    mark(desk, emailId, desk.mail.emails.get(emailId)?.keywords ?? {}, before);
  } catch (error) {
    toasts.problem(t("done.failed", { why: reasonOf(error) }));
  }
}
