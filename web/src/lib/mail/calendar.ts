/** Invitations: what of iCalendar (RFC 5545) and iTIP (RFC 5546) a mail program needs. Bounded, whatever is sent. */

import { observed, type Observance } from "./timezone";

const MOST_LINES = 20_000;
const MOST_PEOPLE = 500;
const MOST_DEPTH = 4;
const MOST_PARAMETERS = 30;
const LONGEST_TEXT = 4_000;

export type Method = "REQUEST" | "CANCEL" | "REPLY" | "PUBLISH";
export type Partstat = "ACCEPTED" | "TENTATIVE" | "DECLINED" | "NEEDS-ACTION" | "DELEGATED";

export interface Attendee {
  name: string;
  email: string;
  partstat: Partstat;
}

export interface When {
  at: Date;
  /** A day without a time. */
  isDay: boolean;
}

export interface Invitation {
  method: Method;
  uid: string;
  sequence: number;
  summary: string;
  location: string;
  description: string;
  start: When;
  /** Where it ends; a day given as the end is the first one after. */
  end: When | null;
  frequency: "DAILY" | "WEEKLY" | "MONTHLY" | "YEARLY" | null;
  isCancelled: boolean;
  organizer: Attendee | null;
  attendees: Attendee[];
  /** Lines that an answer repeats as they came. */
  repeated: string[];
}

interface Line {
  name: string;
  params: Record<string, string>;
  value: string;
  raw: string;
}

interface Component {
  name: string;
  lines: Line[];
  inner: Component[];
}

/** The first event of an invitation; null where there is none that can be shown. */
export function readInvitation(text: string): Invitation | null {
  const calendar = parse(text);
  const event = calendar?.inner.find(({ name }) => name === "VEVENT");
  const method = valueOf(calendar, "METHOD").toUpperCase() || "PUBLISH";
  if (event === undefined || !["REQUEST", "CANCEL", "REPLY", "PUBLISH"].includes(method)) return null;
  const zones = zonesOf(calendar!);
  const start = whenOf(lineOf(event, "DTSTART"), zones);
  const uid = valueOf(event, "UID");
  if (start === null || uid === "") return null;
  const frequency = /(?:^|;)FREQ=(DAILY|WEEKLY|MONTHLY|YEARLY)(?:;|$)/i.exec(valueOf(event, "RRULE"))?.[1]?.toUpperCase();
  return {
    method: method as Method,
    uid,
    sequence: Number(/^\d{1,9}$/.exec(valueOf(event, "SEQUENCE"))?.[0] ?? 0),
    summary: textOf(event, "SUMMARY"), location: textOf(event, "LOCATION"), description: textOf(event, "DESCRIPTION"),
    start,
    end: whenOf(lineOf(event, "DTEND"), zones) ?? after(start, valueOf(event, "DURATION")),
    frequency: (frequency as Invitation["frequency"]) ?? null,
    isCancelled: method === "CANCEL" || valueOf(event, "STATUS").toUpperCase() === "CANCELLED",
    organizer: personOf(lineOf(event, "ORGANIZER")),
    attendees: event.lines.filter(({ name }) => name === "ATTENDEE").slice(0, MOST_PEOPLE).map(personOf).filter((one) => one !== null),
    repeated: repeatedOf(calendar!, event),
  };
}

function repeatedOf(calendar: Component, event: Component): string[] {
  const found = event.lines.filter(({ name }) => ["UID", "SEQUENCE", "ORGANIZER", "SUMMARY", "RECURRENCE-ID"].includes(name));
  const zone = lineOf(event, "RECURRENCE-ID")?.params.TZID;
  const of = calendar.inner.find((one) => zone !== undefined && one.name === "VTIMEZONE" && valueOf(one, "TZID") === zone);
  return [...(of === undefined ? [] : written(of)), "BEGIN:VEVENT", ...found.map(({ raw }) => raw)];
}

function written({ name, lines, inner }: Component): string[] {
  return [`BEGIN:${name}`, ...lines.map(({ raw }) => raw), ...inner.flatMap(written), `END:${name}`];
}

// ---------------------------------------------------------------------- reading

function parse(text: string): Component | null {
  const root: Component = { name: "", lines: [], inner: [] };
  const open = [root];
  for (const raw of text.replace(/\r?\n[ \t]/g, "").split(/\r?\n/, MOST_LINES)) {
    const line = readLine(raw);
    if (line === null) continue;
    const last = open[open.length - 1]!;
    if (line.name === "BEGIN") {
      const made = { name: line.value.toUpperCase(), lines: [], inner: [] };
      last.inner.push(made);
      open.push(made);
      if (open.length > MOST_DEPTH + 1) return null;
    } else if (line.name === "END") {
      if (open.length > 1) open.pop();
    } else last.lines.push(line);
  }
  return root.inner.find(({ name }) => name === "VCALENDAR") ?? null;
}

/** RFC 5545 §3.1: name, parameters (their values quoted where they have to be), value. Each letter is looked at once. */
function readLine(raw: string): Line | null {
  const head = /^[A-Za-z0-9-]{1,60}/.exec(raw)?.[0];
  if (head === undefined) return null;
  const params: Record<string, string> = {};
  const parameter = /;([A-Za-z0-9-]{1,60})=((?:"[^"]*"|[^";:])*)/y;
  let at = head.length;
  for (let count = 0; raw[at] === ";"; count += 1) {
    parameter.lastIndex = at;
    const match = count < MOST_PARAMETERS ? parameter.exec(raw) : null;
    if (match === null) return null;
    params[match[1]!.toUpperCase()] = match[2]!.replace(/"/g, "");
    at = parameter.lastIndex;
  }
  return raw[at] === ":" ? { name: head.toUpperCase(), params, value: raw.slice(at + 1), raw } : null;
}

function lineOf(component: Component | null | undefined, name: string): Line | undefined {
  return component?.lines.find((line) => line.name === name);
}

function valueOf(component: Component | null | undefined, name: string): string {
  return lineOf(component, name)?.value.trim() ?? "";
}

function textOf(component: Component, name: string): string {
  const value = valueOf(component, name).slice(0, LONGEST_TEXT);
  return value.replace(/\\([\\;,nN])/g, (_, letter: string) => (letter.toLowerCase() === "n" ? "\n" : letter));
}

function personOf(line: Line | undefined): Attendee | null {
  const email = /^mailto:([^\s<>"]{1,254})$/i.exec(line?.value.trim() ?? "")?.[1];
  if (email === undefined) return null;
  return { name: (line!.params.CN ?? "").slice(0, 200), email, partstat: (line!.params.PARTSTAT?.toUpperCase() ?? "NEEDS-ACTION") as Partstat };
}

// ---------------------------------------------------------------------- times

type Zones = Map<string, Observance[]>;

function zonesOf(calendar: Component): Zones {
  const zones = calendar.inner.filter(({ name }) => name === "VTIMEZONE").slice(0, 50);
  return new Map(zones.map((zone) => [valueOf(zone, "TZID"), zone.inner.slice(0, 100).flatMap(observanceOf)]));
}

function observanceOf(component: Component): Observance[] {
  const start = partsOf(valueOf(component, "DTSTART"));
  const offset = /^([+-])(\d{2})(\d{2})(\d{2})?$/.exec(valueOf(component, "TZOFFSETTO"));
  if (start === null || offset === null) return [];
  const minutes = (Number(offset[2]) * 60 + Number(offset[3])) * (offset[1] === "-" ? -1 : 1);
  const rule = valueOf(component, "RRULE").toUpperCase();
  const month = /(?:^|;)BYMONTH=(\d{1,2})/.exec(rule)?.[1];
  const day = /(?:^|;)BYDAY=(-?\d)(SU|MO|TU|WE|TH|FR|SA)/.exec(rule);
  const yearly = rule.includes("FREQ=YEARLY") && month && day ? { month: Number(month), week: Number(day[1]), weekday: ["SU", "MO", "TU", "WE", "TH", "FR", "SA"].indexOf(day[2]!) } : null;
  return [{ start: start.utc, offsetMinutes: minutes, yearly }];
}

function whenOf(line: Line | undefined, zones: Zones): When | null {
  const parts = partsOf(line?.value ?? "");
  if (parts === null) return null;
  const { isDay, isUtc, utc } = parts;
  if (isDay) return { at: new Date(new Date(utc).getUTCFullYear(), new Date(utc).getUTCMonth(), new Date(utc).getUTCDate()), isDay };
  if (isUtc) return { at: new Date(utc), isDay };
  const zone = line!.params.TZID;
  const offset = zone === undefined ? null : observed(utc, zone, zones.get(zone) ?? []);
  // A time without a zone is that time wherever one is (RFC 5545 §3.3.5).
  return { at: offset === null ? local(utc) : new Date(utc - offset * 60_000), isDay };
}

function local(utc: number): Date {
  const at = new Date(utc);
  return new Date(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate(), at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds());
}

/** The digits as if they were UTC. */
function partsOf(value: string): { utc: number; isDay: boolean; isUtc: boolean } | null {
  const match = /^(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?$/i.exec(value.trim());
  if (match === null) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((digits) => Number(digits ?? 0));
  const utc = Date.UTC(year!, month! - 1, day, hour, minute, second);
  return Number.isNaN(utc) ? null : { utc, isDay: match[4] === undefined, isUtc: match[7] !== "" && match[7] !== undefined };
}

function after(start: When, duration: string): When | null {
  const match = /^\+?P(?:(\d{1,4})W)?(?:(\d{1,4})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,7})S)?)?$/i.exec(duration);
  if (match === null) return null;
  const [weeks, days, hours, minutes, seconds] = match.slice(1).map((digits) => Number(digits ?? 0));
  return { at: new Date(start.at.getTime() + ((((weeks! * 7 + days!) * 24 + hours!) * 60 + minutes!) * 60 + seconds!) * 1000), isDay: start.isDay };
}

// ---------------------------------------------------------------------- answering

/** The answer of one person (RFC 5546 §3.2.3). */
export function reply(invitation: Invitation, me: { name: string | null; email: string }, partstat: Partstat, now: Date = new Date()): string {
  const name = (me.name ?? "").replace(/["\p{Cc}]/gu, "");
  const cn = name === "" ? "" : `;CN="${name}"`;
  const lines = [
    "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Everpost//Webmail//EN", "METHOD:REPLY",
    ...invitation.repeated,
    `DTSTAMP:${now.toISOString().replace(/[-:]|\.\d+/g, "")}`,
    `ATTENDEE;PARTSTAT=${partstat}${cn}:mailto:${me.email}`,
    "END:VEVENT", "END:VCALENDAR",
  ];
  return lines.map(folded).join("\n") + "\n";
}

/** At most 75 octets a line (RFC 5545 §3.1). */
function folded(line: string): string {
  let room = 75;
  let out = "";
  for (const letter of line) {
    const octets = new TextEncoder().encode(letter).length;
    if (octets > room) {
      out += "\n ";
      room = 74;
    }
    out += letter;
    room -= octets;
  }
  return out;
}
