/** What a reply or forward begins with. */

import type { Email, EmailAddress } from "../jmap/types";
import { sameAddress, unique } from "./address";

export type Kind = "reply" | "replyAll" | "forward";

export interface Beginning {
  to: EmailAddress[];
  cc: EmailAddress[];
  subject: string;
  inReplyTo: string[] | null;
  references: string[] | null;
}

const REPLY = /^\s*(re|aw|sv|antw|rép|ref)\s*:\s*/i;
const FORWARD = /^\s*(fwd?|wg|tr)\s*:\s*/i;
const MAX_REFERENCES = 100;

/** Who it goes to, its subject and its place in the conversation (RFC 5322 §3.6.4). `own`: addresses of the person. */
export function begin(kind: Kind, email: Email, own: readonly EmailAddress[]): Beginning {
  const isOwn = (person: EmailAddress): boolean => own.some((address) => sameAddress(address, person));
  const subject = email.subject ?? "";
  if (kind === "forward") {
    const prefixed = FORWARD.test(subject) ? subject : `Fwd: ${subject}`;
    return { to: [], cc: [], subject: prefixed, inReplyTo: null, references: null };
  }
  const answerTo = email.replyTo ?? email.from ?? [];
  // A reply to one's own message goes to the people it went to.
  const first = answerTo.length > 0 && answerTo.every(isOwn) ? (email.to ?? []) : answerTo;
  const to = kind === "reply" ? first : [...first, ...(email.to ?? [])];
  const others = unique(to).filter((person) => !isOwn(person));
  const cc = kind === "reply" ? [] : unique(email.cc ?? []).filter((person) => !isOwn(person) && !others.some((o) => sameAddress(o, person)));
  const ids = email.messageId ?? [];
  const before = email.references ?? email.inReplyTo ?? [];
  return {
    to: others.length > 0 ? others : unique(first),
    cc,
    subject: REPLY.test(subject) ? subject : `Re: ${subject}`,
    inReplyTo: ids.length > 0 ? ids : null,
    references: ids.length > 0 ? [...before.slice(-MAX_REFERENCES), ...ids] : null,
  };
}

/** Quoted for a plain text reply. */
export function quote(text: string): string {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => (line.startsWith(">") ? `>${line}` : `> ${line}`.trimEnd()))
    .join("\n");
}

/** Whether somebody speaks of an attachment, in one of our languages, above what is quoted. */
export function speaksOfAttachment(text: string): boolean {
  const own = text
    .split("\n")
    .filter((line) => !line.startsWith(">"))
    .join("\n");
  return /\b(attach(ed|ment|ments|ing)?|enclosed|anhang|anhänge|angehängt|anbei|beigefügt|anlage|pi[eè]ces? jointes?|ci-joint(e|s|es)?|en annexe)(?![\p{L}])/iu.test(own);
}
