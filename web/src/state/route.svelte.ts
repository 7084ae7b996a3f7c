/** Where the person is: `/mail/{folder}/{thread}?q=…&account=…`; the browser's back button works. */

import type { Id } from "../lib/jmap/types";

export interface Place {
  /** Of a mailbox that is shared with the person; null: their own. */
  account: Id | null;
  folder: Id | null;
  query: string;
  thread: Id | null;
}

class Route {
  place = $state.raw<Place>(read());

  constructor() {
    addEventListener("popstate", () => (this.place = read()));
  }

  go(change: Partial<Place>, how: "push" | "replace" = "push"): void {
    const place = { ...this.place, ...change };
    const url = write(place);
    if (url === location.pathname + location.search) return;
    history[how === "push" ? "pushState" : "replaceState"](null, "", url);
    this.place = place;
  }
}

function read(): Place {
  const [view, folder, thread] = location.pathname.split("/").slice(1).map(decodeURIComponent);
  if (view !== "mail") return { account: null, folder: null, query: "", thread: null };
  const words = new URLSearchParams(location.search);
  const query = words.get("q") ?? "";
  return { account: words.get("account"), folder: folder && folder !== "-" ? folder : null, query, thread: thread || null };
}

/** The address of a place. */
export function write({ account, folder, query, thread }: Place): string {
  const path = ["", "mail", folder ?? "-", ...(thread ? [thread] : [])].map(encodeURIComponent).join("/");
  const words = new URLSearchParams({ ...(query ? { q: query } : {}), ...(account === null ? {} : { account }) });
  return words.size > 0 ? `${path}?${words}` : path;
}

export const route = new Route();
