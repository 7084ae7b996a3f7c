/** Moments people like to send at. */

export interface Moment {
  kind: "evening" | "tomorrow" | "monday";
  at: Date;
}

function day(from: Date, days: number, hour: number): Date {
  return new Date(from.getFullYear(), from.getMonth(), from.getDate() + days, hour);
}

/** This evening while it is not near, tomorrow morning, and Monday morning where that is another day. */
export function moments(now: Date = new Date()): Moment[] {
  const toMonday = (8 - now.getDay()) % 7 || 7;
  return [
    ...(now.getHours() < 17 ? [{ kind: "evening" as const, at: day(now, 0, 18) }] : []),
    { kind: "tomorrow", at: day(now, 1, 8) },
    ...(toMonday > 1 ? [{ kind: "monday" as const, at: day(now, toMonday, 8) }] : []),
  ];
}

/** As a field of type datetime-local has it: here and now, to the minute. */
export function toField(at: Date): string {
  const two = (number: number): string => String(number).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}`;
}
