/** What an address says: `/console/{page}/{id}?name=value`. */

export const PAGES = ["overview", "primary", "switch", "failback", "run", "queue", "quarantine", "policy", "trace", "people", "audit"] as const;
export type PageName = (typeof PAGES)[number];

export interface Place {
  page: PageName;
  id: string;
  values: Readonly<Record<string, string>>;
}

export const BASE = "/console/";

/** An address that leads nowhere leads to the overview. */
export function parsePlace(path: string, search: string): Place {
  const [page = "", id = ""] = path.slice(BASE.length).split("/").map(decoded);
  const values = Object.fromEntries(new URLSearchParams(search));
  const known = PAGES.find((name) => name === page);
  return known === undefined ? { page: "overview", id: "", values } : { page: known, id, values };
}

export function writePlace({ page, id, values }: Place): string {
  const path = page === "overview" ? "" : [page, ...(id ? [id] : [])].map(encodeURIComponent).join("/");
  const wanted = Object.entries(values).filter(([, value]) => value !== "");
  return BASE + path + (wanted.length > 0 ? `?${new URLSearchParams(wanted)}` : "");
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}
