/** A small JMAP client: calls made in the same turn travel in one request (RFC 8620 §3). */

import { store } from "../store";
import type { Account, Id, Session } from "./types";

const CORE = "urn:ietf:params:jmap:core";
export const MAIL = "urn:ietf:params:jmap:mail";
export const SUBMISSION = "urn:ietf:params:jmap:submission";
const VACATION = "urn:ietf:params:jmap:vacationresponse";
/** Of servers that have it. */
export const CONTACTS = "urn:ietf:params:jmap:contacts";
export const FILTERS = "urn:everpost:jmap:filters";
export const QUARANTINE = "urn:everpost:jmap:quarantine";
export const SETTINGS = "urn:everpost:jmap:settings";
const USING = [CORE, MAIL, SUBMISSION, VACATION];
const MAX_CALLS = 16;
const MOST_ANSWERS = 400;
const CHANGES_SOMETHING = { "X-Everpost": "1" };

/** The method was refused; `type` is its error (RFC 8620 §3.6.2). */
export class MethodError extends Error {
  constructor(
    readonly type: string,
    description?: string,
  ) {
    super(description ?? type);
  }
}

/** The server refused a whole request. `status` 401: nobody is logged in. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    title: string,
    readonly retryAfterS: number | null = null,
  ) {
    super(title);
  }
}

/** Nothing came back: the network, or the server, is away. */
export class Unreachable extends Error {}

export type Arguments = Record<string, unknown>;
type Answer = [name: string, args: Arguments, callId: string];

/** `{"#ids": from(call, "/ids")}`: an argument that is the result of an earlier call of the same batch (§3.7). */
export interface Call<T> extends Promise<T> {
  readonly reference: (path: string) => { resultOf: string; name: string; path: string };
}

interface Waiting {
  name: string;
  args: Arguments;
  id: string;
  /** What it asks, the same in every session. */
  key: string;
  resolve: (value: never) => void;
  reject: (reason: unknown) => void;
}

let expired: () => void = () => {};

/** Who is told that the server no longer knows who is asking. */
export function whenExpired(listener: () => void): void {
  expired = listener;
}

let renewed: () => void = () => {};

/** Who is told that the session has changed (RFC 8620 §2): what is shared with the person, or their rights. */
export function whenRenewed(listener: () => void): void {
  renewed = listener;
}

/** Fetch with what every request of ours needs. Raises `HttpError` or `Unreachable`. */
export async function request(url: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, credentials: "same-origin", headers: { ...CHANGES_SOMETHING, ...init.headers } });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Unreachable(String(error));
  }
  if (response.ok) return response;
  if (response.status === 401 && !url.startsWith("/auth/")) expired();
  const problem = (await response.json().catch(() => ({}))) as { title?: string; detail?: string };
  const retry = Number(response.headers.get("Retry-After"));
  throw new HttpError(response.status, problem.detail ?? problem.title ?? response.statusText, retry || null);
}

export class JmapClient {
  /** Told whether the server answers. */
  onReach: (isReachable: boolean) => void = () => {};
  private waiting: Waiting[] = [];
  private readonly keys = new Map<string, string>();
  private serial = 0;
  private readonly using: string[];

  private constructor(
    private known: Session,
    readonly accountId: Id,
    readonly account: Account,
  ) {
    this.using = [...USING, ...[CONTACTS, FILTERS, QUARANTINE, SETTINGS].filter((one) => one in known.capabilities)];
  }

  get session(): Session {
    return this.known;
  }

  /** The session as it is now, where this account is the same in it. */
  adopt(session: Session): void {
    this.known = session;
  }

  /** A state of the session was told (RFC 8620 §3.4). */
  heard(state: string): void {
    if (state !== this.known.state) renewed();
  }

  static async connect(): Promise<JmapClient> {
    const session = (await (await request("/jmap/session")).json()) as Session;
    const accountId = session.primaryAccounts[MAIL];
    const account = accountId === undefined ? undefined : session.accounts[accountId];
    if (accountId === undefined || account === undefined) throw new HttpError(403, "There is no mailbox here");
    return new JmapClient(session, accountId, account);
  }

  /** One for each further mailbox of the session, in order of their names. */
  others(): JmapClient[] {
    return Object.entries(this.session.accounts)
      .filter(([id, { accountCapabilities }]) => id !== this.accountId && MAIL in accountCapabilities)
      .sort(([, one], [, other]) => one.name.localeCompare(other.name))
      .map(([id, account]) => new JmapClient(this.session, id, account));
  }

  /** One method call of this account. Raises `MethodError`, `HttpError`, `Unreachable`. */
  call<T>(name: string, args: Arguments): Call<T> {
    const id = String(this.serial++);
    const key = this.keyOf(name, args);
    this.keys.set(id, key);
    const promise = new Promise<T>((resolve, reject) => {
      if (this.waiting.length === 0) queueMicrotask(() => this.flush());
      this.waiting.push({ name, args: { accountId: this.accountId, ...args }, id, key, resolve, reject });
    });
    // A batch fails as one: whoever waits for its first call hears of it, and nobody waits for the others then.
    promise.catch(() => {});
    return Object.assign(promise, { reference: (path: string) => ({ resultOf: id, name, path }) });
  }

  downloadUrl(blobId: Id, name: string, type: string): string {
    return this.expand(this.session.downloadUrl, { accountId: this.accountId, blobId, name, type });
  }

  eventUrl(types: string, pingS: number): string {
    return this.expand(this.session.eventSourceUrl, { types, closeafter: "no", ping: String(pingS) });
  }

  /** Upload with progress (0 to 1), which `fetch` cannot tell. */
  upload(file: Blob, progress: (part: number) => void, signal: AbortSignal): Promise<{ blobId: Id; size: number; type: string }> {
    return new Promise((resolve, reject) => {
      const http = new XMLHttpRequest();
      http.open("POST", this.expand(this.session.uploadUrl, { accountId: this.accountId }));
      http.setRequestHeader("Content-Type", file.type || "application/octet-stream");
      http.setRequestHeader("X-Everpost", "1");
      http.responseType = "json";
      http.upload.onprogress = (event) => progress(event.loaded / Math.max(event.total, 1));
      http.onload = () => {
        if (http.status === 401) expired();
        if (http.status === 201) resolve(http.response);
        else reject(new HttpError(http.status, http.response?.detail ?? http.statusText));
      };
      http.onerror = () => reject(new Unreachable("upload"));
      http.onabort = () => reject(new DOMException("", "AbortError"));
      signal.addEventListener("abort", () => http.abort());
      http.send(file);
    });
  }

  private expand(template: string, values: Record<string, string>): string {
    return this.path(template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? "")));
  }

  /** The webmail stays at the origin it came from, whatever name the server knows itself by. */
  private path(url: string): string {
    const { pathname, search } = new URL(url, location.origin);
    return pathname + search;
  }

  private flush(): void {
    const all = this.waiting;
    this.waiting = [];
    for (let start = 0; start < all.length; start += MAX_CALLS) void this.post(all.slice(start, start + MAX_CALLS));
  }

  /** As it was answered before; what never was is out of reach. */
  private async answerFromStore(calls: Waiting[], error: Unreachable): Promise<void> {
    this.onReach(false);
    for (const call of calls) {
      const kept = isKept(call) ? await store.get<{ answer: unknown }>("answers", call.key) : undefined;
      if (kept === undefined) call.reject(error);
      else call.resolve(kept.answer as never);
    }
  }

  private keyOf(name: string, args: Arguments): string {
    const plain = Object.entries(args).map(([key, value]) => {
      const reference = key.startsWith("#") ? (value as { resultOf: string; path: string }) : null;
      return [key, reference === null || reference.path === undefined ? value : [this.keys.get(reference.resultOf), reference.path]];
    });
    return JSON.stringify([this.accountId, name, plain]);
  }

  private async post(calls: Waiting[]): Promise<void> {
    try {
      const response = await request(this.path(this.session.apiUrl), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ using: this.using, methodCalls: calls.map(({ name, args, id }) => [name, args, id]) }),
      });
      const { methodResponses, sessionState } = (await response.json()) as { methodResponses: Answer[]; sessionState: string };
      this.onReach(true);
      this.heard(sessionState);
      for (const call of calls) {
        settle(call, methodResponses);
        if (isKept(call)) void store.put("answers", call.key, { at: Date.now(), answer: methodResponses.find(([, , id]) => id === call.id)?.[1] });
      }
      void store.bound("answers", MOST_ANSWERS);
    } catch (error) {
      if (!(error instanceof Unreachable)) for (const call of calls) call.reject(error);
      else await this.answerFromStore(calls, error);
    } finally {
      for (const { id } of calls) this.keys.delete(id);
    }
  }
}

/** Lists and what they show; whole messages and settings have a place of their own, what was typed is not worth one, and what is kept in quarantine stays at the server. */
function isKept({ name, args }: Waiting): boolean {
  if (name === "Settings/get" || name.startsWith("QuarantinedEmail/")) return false;
  if (name.startsWith("ContactCard/") && wasTyped(args)) return false;
  return /\/(?:get|query)$/.test(name) && args.fetchTextBodyValues !== true;
}

/** Cards that were looked for by a word, and not those of the list of contacts. */
function wasTyped(args: Arguments): boolean {
  const filter = (args.filter ?? {}) as object;
  return "#ids" in args || "text" in filter || "email" in filter;
}

/** The first answer to a call is its own; what follows was implied by it (e.g. onSuccessUpdateEmail). */
function settle(call: Waiting, answers: Answer[]): void {
  const answer = answers.find(([, , id]) => id === call.id);
  if (answer === undefined) call.reject(new MethodError("serverFail"));
  else if (answer[0] === "error") call.reject(new MethodError(String(answer[1].type), answer[1].description as string | undefined));
  else call.resolve(answer[1] as never);
}
