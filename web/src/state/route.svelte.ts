/** Where the person is: `/mail/{folder}/{thread}?q=…&account=…` or `/contacts/{card}/edit`; the browser's back button works. */

import type { Id } from "../lib/jmap/types";

export interface Place {
  /** Of a mailbox that is shared with the person; null: their own. */
  account: Id | null;
  folder: Id | null;
  query: string;
  thread: Id | null;
  /** Of the contacts, where those are shown and not mail. */
  contacts?: ContactsPlace | undefined;
}

export interface ContactsPlace {
  card: Id | null;
  /** Whether the card is being changed; one that is null is new then. */
  edits: boolean;
}

class Route {
  place = $state.raw<Place>(read());

  constructor() {
    addEventListener("popstate", () => (this.place = read()));
  }

  /** A change that does not name the contacts leads to mail. */
  go(change: Partial<Place>, how: "push" | "replace" = "push"): void {
    const place = { ...this.place, contacts: undefined, ...change };
    const url = write(place);
    if (url === location.pathname + location.search) return;
    history[how === "push" ? "pushState" : "replaceState"](null, "", url);
    this.place = place;
  }
}

function read(): Place {
  const [view, folder, thread] = location.pathname.split("/").slice(1).map(decodeURIComponent);
  if (view === "contacts") {
    const contacts = { card: folder && folder !== "-" ? folder : null, edits: thread === "edit" };
    return { account: null, folder: null, query: "", thread: null, contacts };
  }
  if (view !== "mail") return { account: null, folder: null, query: "", thread: null };
  const words = new URLSearchParams(location.search);
  const query = words.get("q") ?? "";
  return { account: words.get("account"), folder: folder && folder !== "-" ? folder : null, query, thread: thread || null };
}

/** The address of a place. */
export function write({ account, folder, query, thread, contacts }: Place): string {
  if (contacts !== undefined) return contactsPath(contacts);
  const path = ["", "mail", folder ?? "-", ...(thread ? [thread] : [])].map(encodeURIComponent).join("/");
  const words = new URLSearchParams({ ...(query ? { q: query } : {}), ...(account === null ? {} : { account }) });
  return words.size > 0 ? `${path}?${words}` : path;
}

function contactsPath({ card, edits }: ContactsPlace): string {
  const path = card === null && !edits ? ["", "contacts"] : ["", "contacts", card ?? "-", ...(edits ? ["edit"] : [])];
  return path.map(encodeURIComponent).join("/");
}

export const route = new Route();
