/** Moments as a list and a reader show them. */

const DAY_MS = 86_400_000;

/** The time today, the day this year, else the date. */
export function shortMoment(iso: string, language: string, now: Date = new Date()): string {
  const when = new Date(iso);
  if (when.toDateString() === now.toDateString()) return new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" }).format(when);
  const isNear = Math.abs(now.getTime() - when.getTime()) < 300 * DAY_MS;
  return new Intl.DateTimeFormat(language, isNear ? { day: "numeric", month: "short" } : { dateStyle: "short" }).format(when);
}

export function longMoment(iso: string, language: string): string {
  return new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" }).format(new Date(iso));
}

/** The time alone today, with the day before today. */
export function since(iso: string, language: string, now: Date = new Date()): string {
  const when = new Date(iso);
  const isToday = when.toDateString() === now.toDateString();
  return new Intl.DateTimeFormat(language, isToday ? { hour: "2-digit", minute: "2-digit" } : { weekday: "long", hour: "2-digit", minute: "2-digit" }).format(when);
}
