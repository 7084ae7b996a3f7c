/** How fast something goes, and how long it will take. */

export interface Sample {
  at: number;
  done: number;
}

export interface Pace {
  perMinute: number;
  /** Null where nothing moves, so that nobody can say. */
  secondsLeft: number | null;
}

const LEAST_MS = 5_000;

/** From the first to the last look at it; `at` in milliseconds. Null before there is anything to tell. */
export function pace(samples: readonly Sample[], total: number): Pace | null {
  const first = samples[0];
  const last = samples.at(-1);
  if (first === undefined || last === undefined || last.at - first.at < LEAST_MS) return null;
  const perMs = (last.done - first.done) / (last.at - first.at);
  const left = Math.max(total - last.done, 0);
  return { perMinute: perMs * 60_000, secondsLeft: left === 0 ? 0 : perMs > 0 ? left / perMs / 1000 : null };
}

/** Percent, whole; 100 only when all is done. */
export function percent(done: number, total: number): number {
  if (total === 0) return 100;
  return Math.min(Math.floor((done / total) * 100), 100);
}
