/** Where the administrator is. Every view has an address, so that it can be opened, kept and shared. */

import type { Query } from "../lib/api";
import { BASE, parsePlace, writePlace, type PageName, type Place } from "../lib/place";
import { session } from "./session.svelte";

class Here {
  place = $state.raw<Place>(read());
  /** The one that a page is about: the one of the address, else the first. */
  readonly organisation = $derived(this.place.values.organisation ?? session.me?.organisations[0]?.name ?? "");

  constructor() {
    addEventListener("popstate", () => (this.place = read()));
  }

  go(href: string, how: "push" | "replace" = "push"): void {
    if (href !== location.pathname + location.search) history[how === "push" ? "pushState" : "replaceState"](null, "", href);
    this.place = read();
  }

  /** The address of a page; with the organisation where there are several to choose from. */
  link(page: PageName, id = "", values: Record<string, string> = {}): string {
    const several = (session.me?.organisations.length ?? 0) > 1;
    const organisation = values.organisation ?? this.place.values.organisation ?? (page === "overview" ? "" : this.organisation);
    return writePlace({ page, id, values: several ? { ...values, organisation } : without(values) });
  }

  /** A call about the organisation one is at. Raises `Refused`. */
  get<T>(path: string, query: Query = {}): Promise<T> {
    return session.ask<T>("GET", path, { organisation: this.organisation, ...query });
  }

  post<T>(path: string, body?: unknown): Promise<T> {
    return session.ask<T>("POST", path, { organisation: this.organisation }, body);
  }

  /** Follow links of the console without loading the page anew. */
  follow(event: MouseEvent): void {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (link === null || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.target !== "" || link.origin !== location.origin || !link.pathname.startsWith(BASE) || link.hash !== "") return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

function read(): Place {
  return parsePlace(location.pathname, location.search);
}

function without({ organisation: _, ...rest }: Record<string, string>): Record<string, string> {
  return rest;
}

export const here = new Here();
