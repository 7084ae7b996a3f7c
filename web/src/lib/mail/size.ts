const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte"];

/** 1536 → "1.5 kB" in a language. */
export function shownSize(octets: number, language: string): string {
  const step = Math.min(Math.floor(Math.log(Math.max(octets, 1)) / Math.log(1000)), UNITS.length - 1);
  const digits = step === 0 ? 0 : 1;
  return new Intl.NumberFormat(language, { style: "unit", unit: UNITS[step]!, unitDisplay: "short", maximumFractionDigits: digits }).format(octets / 1000 ** step);
}
