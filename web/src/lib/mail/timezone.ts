/** How far a place is from UTC at a moment: by the rules that came with an invitation, or by the name of its zone. */

export interface Observance {
  /** The first moment it holds, its local digits as if they were UTC. */
  start: number;
  offsetMinutes: number;
  /** Each year again: the n-th weekday (0 Sunday) of a month, the last ones counted from -1. */
  yearly: { month: number; week: number; weekday: number } | null;
}

/** Minutes east of UTC at a local moment (its digits as if they were UTC); null where nobody knows. */
export function observed(local: number, zone: string, rules: readonly Observance[]): number | null {
  let found: { onset: number; minutes: number } | null = null;
  for (const rule of rules) {
    const onset = lastOnset(rule, local);
    if (onset !== null && (found === null || onset > found.onset)) found = { onset, minutes: rule.offsetMinutes };
  }
  return found?.minutes ?? byName(local, zone);
}

function lastOnset({ start, yearly }: Observance, local: number): number | null {
  if (start > local) return null;
  if (yearly === null) return start;
  const year = new Date(local).getUTCFullYear();
  const onsets = [year - 1, year].map((one) => onsetIn(one, start, yearly)).filter((onset) => onset >= start && onset <= local);
  return onsets.length > 0 ? Math.max(...onsets) : start;
}

function onsetIn(year: number, start: number, { month, week, weekday }: NonNullable<Observance["yearly"]>): number {
  const time = ((start % 86_400_000) + 86_400_000) % 86_400_000;
  if (week > 0) {
    const first = new Date(Date.UTC(year, month - 1, 1));
    return first.getTime() + (((weekday - first.getUTCDay() + 7) % 7) + (week - 1) * 7) * 86_400_000 + time;
  }
  const last = new Date(Date.UTC(year, month, 0));
  return last.getTime() - (((last.getUTCDay() - weekday + 7) % 7) + (-week - 1) * 7) * 86_400_000 + time;
}

/** For names of the time zone database. */
function byName(local: number, zone: string): number | null {
  try {
    const format = new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" });
    const shift = (moment: number): number => {
      const part = Object.fromEntries(format.formatToParts(moment).map(({ type, value }) => [type, Number(value)]));
      return Date.UTC(part.year!, part.month! - 1, part.day, part.hour, part.minute, part.second) - moment;
    };
    // Near a change of the clocks the first guess may be an hour off.
    return shift(local - shift(local)) / 60_000;
  } catch {
    return null;
  }
}
