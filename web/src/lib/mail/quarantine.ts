/** What the guard keeps from a person, as the server tells it (docs/jmap-quarantine.md). */

import type { EmailAddress, Id } from "../jmap/types";

export type Judgement = "suspicious" | "spam" | "phishing" | "malware" | "policy";

export interface QuarantinedEmail {
  id: Id;
  receivedAt: string;
  from: EmailAddress[];
  subject: string;
  size: number;
  judgement: Judgement;
  reasons: string[];
  mayRelease: boolean;
  mayAsk: boolean;
  askedAt: string | null;
  answer: "released" | "refused" | "expired" | null;
  answerReason: string | null;
  notJunkAt: string | null;
}

/** A look at one: its words alone. */
export interface QuarantinedContent {
  id: Id;
  headers: { name: string; value: string }[] | null;
  text: string | null;
  isComplete: boolean;
  attachments: { name: string; type: string; size: number }[] | null;
}

export type SenderAction = "allow" | "deny";

export interface SenderRule {
  id: Id;
  sender: string;
  action: SenderAction;
}
