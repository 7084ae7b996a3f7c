/** What of RFC 8620 and RFC 8621 the webmail uses. */

export type Id = string;

export interface Session {
  capabilities: Record<string, unknown>;
  accounts: Record<Id, Account>;
  primaryAccounts: Record<string, Id>;
  username: string;
  apiUrl: string;
  downloadUrl: string;
  uploadUrl: string;
  eventSourceUrl: string;
  state: string;
}

export interface Account {
  name: string;
  isPersonal: boolean;
  isReadOnly: boolean;
  accountCapabilities: Record<string, Record<string, unknown>>;
}

export type Role = "inbox" | "drafts" | "sent" | "archive" | "junk" | "trash";

export interface Mailbox {
  id: Id;
  name: string;
  parentId: Id | null;
  role: Role | null;
  sortOrder: number;
  totalEmails: number;
  unreadEmails: number;
  totalThreads: number;
  unreadThreads: number;
  myRights: { mayRename: boolean; mayDelete: boolean; mayAddItems: boolean; mayCreateChild: boolean };
}

export interface EmailAddress {
  name: string | null;
  email: string;
}

export interface BodyPart {
  partId: string | null;
  blobId: Id | null;
  size: number;
  name: string | null;
  type: string;
  charset: string | null;
  disposition: string | null;
  cid: string | null;
}

export interface BodyValue {
  value: string;
  isEncodingProblem: boolean;
  isTruncated: boolean;
}

/** What a list shows. */
export interface EmailSummary {
  id: Id;
  threadId: Id;
  mailboxIds: Record<Id, true>;
  keywords: Record<string, true>;
  size: number;
  receivedAt: string;
  from: EmailAddress[] | null;
  to: EmailAddress[] | null;
  subject: string | null;
  preview: string;
  hasAttachment: boolean;
}

/** What the reader shows. */
export interface Email extends EmailSummary {
  blobId: Id;
  messageId: string[] | null;
  inReplyTo: string[] | null;
  references: string[] | null;
  sender: EmailAddress[] | null;
  cc: EmailAddress[] | null;
  bcc: EmailAddress[] | null;
  replyTo: EmailAddress[] | null;
  sentAt: string | null;
  textBody: BodyPart[];
  htmlBody: BodyPart[];
  attachments: BodyPart[];
  bodyValues: Record<string, BodyValue>;
  "header:Importance:asText": string | null;
  "header:X-Priority:asText": string | null;
}

export interface Identity {
  id: Id;
  name: string;
  email: string;
  replyTo: EmailAddress[] | null;
  textSignature: string;
  htmlSignature: string;
  mayDelete: boolean;
}

export type Condition = Partial<{
  inMailbox: Id;
  inMailboxOtherThan: Id[];
  before: string;
  after: string;
  minSize: number;
  maxSize: number;
  hasKeyword: string;
  notKeyword: string;
  hasAttachment: boolean;
  text: string;
  from: string;
  to: string;
  cc: string;
  bcc: string;
  subject: string;
  body: string;
}>;

export type Filter = Condition | { operator: "AND" | "OR" | "NOT"; conditions: Filter[] };

export interface SetError {
  type: string;
  description?: string;
  properties?: string[];
}

export type Patch = Record<string, unknown>;

export interface GetAnswer<T> {
  state: string;
  list: T[];
  notFound: Id[];
}

export interface QueryAnswer {
  queryState: string;
  canCalculateChanges: boolean;
  position: number;
  ids: Id[];
  total?: number;
}

export interface ChangesAnswer {
  oldState: string;
  newState: string;
  hasMoreChanges: boolean;
  created: Id[];
  updated: Id[];
  destroyed: Id[];
}

export interface SetAnswer {
  oldState: string | null;
  newState: string;
  created: Record<Id, { id: Id } & Record<string, unknown>> | null;
  updated: Record<Id, unknown> | null;
  destroyed: Id[] | null;
  notCreated: Record<Id, SetError> | null;
  notUpdated: Record<Id, SetError> | null;
  notDestroyed: Record<Id, SetError> | null;
}

export type TypeState = Record<string, string>;

export interface StateChange {
  "@type": "StateChange";
  changed: Record<Id, TypeState>;
}
