/** The cleaned HTML of an email. */

import { request } from "../jmap/client";
import type { Id } from "../jmap/types";

export interface View {
  html: string;
  blockedRemote: number;
  /** Pictures that were there to track the reader; they are never shown. */
  trackers: number;
  canShowRemote: boolean;
}

const known = new Map<string, Promise<View>>();
const MOST_KNOWN = 30;

/** Raises `HttpError`, `Unreachable`. What was asked for lately is not asked for again. `withRemote`: pictures of others through our proxy. */
export function fetchView(accountId: Id, emailId: Id, withRemote = false): Promise<View> {
  const url = `/view/${accountId}/${emailId}${withRemote ? "?remote=show" : ""}`;
  let view = known.get(url);
  if (view === undefined) {
    view = request(url).then((response) => response.json() as Promise<View>);
    view.catch(() => known.delete(url));
    known.set(url, view);
    if (known.size > MOST_KNOWN) known.delete(known.keys().next().value!);
  }
  return view;
}
