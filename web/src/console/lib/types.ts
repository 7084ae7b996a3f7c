/** What the API of administrators answers (docs/api.md), as far as the console uses it. Moments are ISO texts. */

export type TrustState = "trusted" | "down" | "suspect" | "compromised" | "recovering";
export type ScopeKind = "organisation" | "primary" | "domain" | "group" | "mailbox";

export interface Me {
  name: string;
  installation: boolean;
  organisations: { name: string; display_name: string }[];
}

export interface ScopeShown {
  kind: ScopeKind;
  id: string;
  name: string | null;
}

export interface ScopeCount extends ScopeShown {
  name: string;
  mailboxes: number;
}

export interface Primary {
  id: string;
  name: string;
  trust_state: TrustState;
  state_since: string;
  state_cause: string;
  state_reason: string;
  state_actor: string;
  probe_ok: boolean | null;
  probed_at: string | null;
  probe_stage: string | null;
  probe_detail: string | null;
  probe_since: string | null;
  domains: number;
  mailboxes: number;
  activated: boolean;
}

export interface Activation {
  id: string;
  scope: ScopeShown;
  mailboxes: number;
  returned: number;
  failback: string | null;
  reason: string;
  actor: string;
  opens_access: boolean;
  starts_at: string;
  started_at: string | null;
  ends_at: string | null;
  ended_at: string | null;
}

export interface Failback {
  id: string;
  activation: string;
  scope: ScopeShown;
  state: "running" | "paused" | "finished" | "stopped";
  reason: string;
  actor: string;
  wave_size: number;
  started_at: string;
  finished_at: string | null;
  mailboxes: number;
  returned: number;
  problems: number;
  has_report: boolean;
}

export interface Figures {
  received: number;
  replayed: number;
  already: number;
  held: number;
  appended: number;
  changes: number;
  missing: number;
  lost: number;
  duplicated: number;
  altered: number;
}

export interface FailbackDetail {
  failback: Failback;
  states: Record<string, number>;
  mailboxes: { id: string; mailbox: string; wave: number; state: string; problem: string; returned_at: string | null; figures: Figures | null }[];
}

export interface MailboxPreview {
  address: string;
  wave: number;
  inbound: number;
  inbound_octets: number;
  appends: number;
  flags: number;
  moves: number;
  deletions: number;
  folders: number;
}

export interface FailbackPreview {
  activation: string;
  total: number;
  mailboxes: MailboxPreview[];
  obstacles: string[];
  warnings: string[];
}

export interface FailbackReport {
  genuine: boolean;
  digest: string;
  report: { totals: Figures; looked: boolean };
}

export interface Affected {
  scope: ScopeShown;
  mailboxes: number;
  moving: number;
  names: string[];
  activated: boolean;
}

export interface Drill {
  id: string;
  scope: ScopeShown;
  actor: string;
  started_at: string;
  finished_at: string | null;
  outcome: string | null;
  figures: { switch_s: number | null; return_s: number | null; lost: number; duplicated: number; problems: string[] } | null;
}

export interface LaneCount {
  lane: string;
  status: "queued" | "held";
  hold_reason: string | null;
  count: number;
  oldest: string;
  next: string | null;
}

export interface Suspension {
  lane: string;
  reason: string;
  actor: string;
  since: string;
  expires_at: string | null;
}

export interface Binding {
  lane: string;
  host: string;
  port: number;
  actor: string;
  since: string;
}

export interface Stops {
  suspensions: Suspension[];
  bindings: Binding[];
}

export interface QueuedDelivery {
  message: string;
  number: number;
  recipient: string;
  lane: string;
  status: "queued" | "held";
  hold_reason: string | null;
  attempts: number;
  next_attempt_at: string;
  expires_at: string | null;
  last_reply: string | null;
  reverse_path: string | null;
  subject: string;
  received_at: string;
}

export interface Changed {
  done: { recipient: string; status: string; remark: string }[];
  left: { recipient: string; why: string }[];
}

export interface MailFlow {
  since: string;
  accepted: number[];
  delivered: number[];
  capped: boolean;
}

export interface OrganisationOverview {
  id: string;
  name: string;
  display_name: string;
  mailboxes: number;
  primaries: Primary[];
  activations: Activation[];
  failbacks: Failback[];
  queue: LaneCount[];
  suspensions: Suspension[];
  flow: MailFlow;
  alerts: { id: string; at: string; kind: string; subject: string; text: string }[];
}

export interface Overview {
  at: string;
  organisations: OrganisationOverview[];
  more: string[];
  workers: { alive: number; behind: number };
  problems: string[];
}

export interface AuditEvent {
  id: string;
  at: string;
  actor: string;
  action: string;
  subject: string;
  detail: Record<string, unknown>;
}

export interface MessageFound {
  id: string;
  direction: string;
  received_at: string;
  reverse_path: string | null;
  subject: string;
}

export interface DeliveryShown {
  number: number;
  recipient: string;
  lane: string;
  status: string;
  hold_reason: string | null;
  attempts: number;
  next_attempt_at: string;
  in_doubt: boolean;
  last_remote: string | null;
  last_reply: string | null;
  done_at: string | null;
  failures: { attempt: number; at: string; remote: string; outcome: string; reply: string }[];
}

export interface MessageTrace {
  message: MessageFound & { source: string; size: number; header_id: string | null; client: string; digest: string };
  entries: { mailbox: string; address: string | null; received_at: string; origin: string; folders: string[] }[];
  deliveries: DeliveryShown[];
  events: AuditEvent[];
}

export const JUDGEMENTS = ["suspicious", "spam", "phishing", "malware", "policy"] as const;
export type Judgement = (typeof JUDGEMENTS)[number] | "clean";

export interface Verdict {
  judgement: Judgement;
  disposition: string;
  score: number;
  signals: { kind: string; weight: number; evidence: string }[];
}

export interface KeptMessage {
  id: string;
  received_at: string;
  direction: string;
  reverse_path: string | null;
  author: string;
  subject: string;
  size: number;
  recipients: string[];
  verdict: Verdict;
  asked: number;
  not_junk: number;
}

export interface KeptMessages {
  messages: KeptMessage[];
  next: string | null;
}

export interface KeptDetails {
  message: KeptMessage;
  recipients: { recipient: string; accepted_as: string; asked_at: string | null; comment: string | null; not_junk_at: string | null }[];
}

export interface SafeLook {
  fields: { name: string; value: string }[];
  text: string;
  complete: boolean;
  files: { name: string; type: string; size: number }[];
}

export interface QuarantineRules {
  self_release: Judgement[];
  digest: "off" | "daily" | "hourly";
  digest_hour: number;
  time_zone: string;
}

export const RULE_STATES = ["on", "shadow", "off"] as const;
export type RuleState = (typeof RULE_STATES)[number];

export interface PolicyCondition {
  field: string;
  any: string[];
  not?: boolean;
  name?: string;
}

export interface PolicyRule {
  id: string;
  name?: string;
  state?: RuleState;
  when?: PolicyCondition[];
  do?: { do: string; value?: string }[];
  stop?: boolean;
}

export interface PolicyDocument {
  rule?: PolicyRule[];
}

export interface PolicyLine {
  version: number;
  actor: string;
  reason: string;
  at: string;
}

export interface PolicyShown extends Omit<PolicyLine, "at"> {
  at: string | null;
  policy: PolicyDocument;
}

export interface TrialShown {
  messages: number;
  unreadable: number;
  complete: boolean;
  rules: { id: string; name: string; hits: number; examples: { id: string; at: string; sender: string; subject: string }[] }[];
}

export interface SettingsShown {
  forwarding: "none" | "inside" | "anywhere";
  links: "keep" | "unsigned" | "all";
  banner: "none" | "suspicious" | "external";
  language: "en" | "de" | "fr";
}
