/** The mailboxes of one person against a server made of answers. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Account, Mailbox } from "../lib/jmap/types";

// It needs a document, and nothing is cleaned here.
vi.mock("../lib/mail/purify", () => ({ purified: (html: string) => html }));

const MAIL = "urn:ietf:params:jmap:mail";
const SUBMISSION = "urn:ietf:params:jmap:submission";

function account(name: string, more: Partial<Account> = {}, sends = true): Account {
  return { name, isPersonal: false, isReadOnly: false, accountCapabilities: { [MAIL]: {}, ...(sends ? { [SUBMISSION]: {} } : {}) }, ...more };
}

/** The inbox has the same id in every account, as it has at our server. */
function inbox(unreadEmails: number): Mailbox {
  return { id: "1", name: "Inbox", parentId: null, role: "inbox", unreadEmails, totalEmails: 9 } as Mailbox;
}

class Source {
  static last: Source;
  onopen: (() => void) | null = null;
  readonly close = vi.fn();
  private readonly listeners = new Map<string, (event: { data: string }) => void>();
  constructor() {
    Source.last = this;
  }
  addEventListener(name: string, listener: (event: { data: string }) => void): void {
    this.listeners.set(name, listener);
  }
  say(changed: Record<string, Record<string, string>>): void {
    this.listeners.get("state")!({ data: JSON.stringify({ "@type": "StateChange", changed }) });
  }
}

let accounts: Record<string, Account>;
let unread: Record<string, number>;
let calls: [name: string, accountId: string][];

async function answer(url: string, init: RequestInit): Promise<Response> {
  if (url === "/jmap/session") {
    const urls = { apiUrl: "/jmap/api", downloadUrl: "/d", uploadUrl: "/u", eventSourceUrl: "/e" };
    return Response.json({ capabilities: {}, accounts, primaryAccounts: { [MAIL]: "own" }, username: "ann@example.org", state: "1", ...urls });
  }
  if (url !== "/jmap/api") return Response.json({});
  const { methodCalls } = JSON.parse(init.body as string) as { methodCalls: [string, { accountId: string }, string][] };
  const methodResponses = methodCalls.map(([name, { accountId }, id]) => {
    calls.push([name, accountId]);
    if (name === "Identity/get" && !(SUBMISSION in accounts[accountId]!.accountCapabilities)) return ["error", { type: "accountNotSupportedByMethod" }, id];
    const list = name === "Mailbox/get" ? [inbox(unread[accountId]!)] : name === "Identity/get" ? [{ id: "i", name: "", email: accounts[accountId]!.name }] : [];
    const changes = { oldState: "5", newState: "5", hasMoreChanges: false, created: [], updated: [], destroyed: [] };
    return [name, { accountId, state: "5", list, ids: [], notFound: [], ...changes }, id];
  });
  return Response.json({ methodResponses });
}

async function started(at = "/mail/1") {
  vi.stubGlobal("location", new URL(at, "http://localhost"));
  vi.resetModules();
  const [{ Accounts }, { JmapClient }, { Desk }, { route }] = await Promise.all([
    import("./accounts.svelte"), import("../lib/jmap/client"), import("./desk.svelte"), import("./route.svelte"),
  ]);
  const made = new Accounts(await JmapClient.connect(), (mail, all) => new Desk(mail, all));
  await made.start();
  return { made, route, JmapClient };
}

beforeEach(() => {
  accounts = {
    own: account("ann@example.org", { isPersonal: true }), sends: account("sales@example.org"),
    reads: account("office@example.org", { isReadOnly: true }, false), notes: { ...account("notes"), accountCapabilities: {} },
  };
  unread = { own: 1, sends: 2, reads: 3 };
  calls = [];
  const nothing = (): void => {};
  vi.stubGlobal("location", new URL("http://localhost/"));
  vi.stubGlobal("addEventListener", nothing);
  vi.stubGlobal("removeEventListener", nothing);
  vi.stubGlobal("localStorage", { getItem: () => null, setItem: nothing });
  vi.stubGlobal("history", { pushState: (...[, , url]: unknown[]) => vi.stubGlobal("location", new URL(String(url), "http://localhost")), replaceState: nothing });
  vi.stubGlobal("navigator", { languages: ["en"] });
  vi.stubGlobal("EventSource", Source);
  vi.stubGlobal("fetch", vi.fn(answer));
});

afterEach(() => vi.unstubAllGlobals());

describe("accounts", () => {
  test("those with mail are there, the shared ones in order of their names, and none of them is opened yet", async () => {
    const { made } = await started();
    expect(made.shared.map(({ mail }) => mail.sharedName)).toEqual(["office@example.org", "sales@example.org"]);
    expect(made.own.mail.sharedName).toBeNull();
    expect(made.here).toBe(made.own);
    expect(new Set(calls.map(([, accountId]) => accountId))).toEqual(new Set(["own"]));
    made.stop();
    expect(Source.last.close).toHaveBeenCalled();
  });

  test("the route chooses the account, though folders have the same ids", async () => {
    const { made, route } = await started();
    route.go({ account: "sends", folder: "1", query: "", thread: null });
    expect(location.search).toBe("?account=sends");
    expect(made.here.mail.sharedName).toBe("sales@example.org");
    expect(made.here.isHere).toBe(true);
    expect(made.own.isHere).toBe(false);
    route.go({ thread: "7" });
    expect(made.here.mail.sharedName).toBe("sales@example.org");
    route.go({ account: null, thread: null });
    expect(made.here).toBe(made.own);
    made.stop();
  });

  test("an address of a shared mailbox opens it", async () => {
    const { made } = await started("/mail/1?account=reads");
    expect(made.here.mail.folders).toEqual([inbox(3)]);
    expect(made.here.mail.isStarted).toBe(true);
    expect(calls).not.toContainEqual(["Identity/get", "reads"]);
    made.stop();
  });

  test("where a mailbox is shared no longer, one's own is shown", async () => {
    const { made, route } = await started("/mail/1?account=gone");
    expect(made.here).toBe(made.own);
    expect(route.place).toEqual({ account: null, folder: null, query: "", thread: null });
    made.stop();
  });

  test("push moves the counters of each account, and of no other", async () => {
    const { made } = await started();
    const [office, sales] = made.shared;
    Source.last.onopen?.();
    await vi.waitFor(() => expect(office!.mail.withRole("inbox")?.unreadEmails).toBe(3));
    await vi.waitFor(() => expect(sales!.mail.withRole("inbox")?.unreadEmails).toBe(2));
    unread = { own: 10, sends: 20, reads: 30 };
    calls = [];
    Source.last.say({ reads: { Email: "6", Mailbox: "6" }, unknown: { Email: "1" } });
    await vi.waitFor(() => expect(office!.mail.withRole("inbox")?.unreadEmails).toBe(30));
    expect(sales!.mail.withRole("inbox")?.unreadEmails).toBe(2);
    expect(calls).toEqual([["Mailbox/get", "reads"]]);
    made.stop();
  });

  test("who may not send from a mailbox writes from their own", async () => {
    const { made } = await started();
    const [office, sales] = made.shared;
    expect(office!.writer).toBe(made.own);
    expect(sales!.writer).toBe(sales);
    expect([office!.mail.maySend, sales!.mail.maySend]).toEqual([false, true]);
    accounts.own!.isReadOnly = true;
    expect((await started()).made.shared[0]!.writer).toBeNull();
  });

  test("a changed session brings, takes and renews shared mailboxes, and leaves the others as they are", async () => {
    const { made, route, JmapClient } = await started("/mail/1?account=reads");
    const [office, sales] = made.shared;
    accounts.reads = account("office@example.org", {}, true);
    accounts.more = account("more@example.org");
    expect(made.renew(await JmapClient.connect())).toBe(true);
    expect(made.shared.map(({ mail }) => mail.sharedName)).toEqual(["more@example.org", "office@example.org", "sales@example.org"]);
    expect(made.shared[2]).toBe(sales);
    expect(made.shared[1]).not.toBe(office);
    expect(made.here).toBe(made.shared[1]); // one stays where one was
    delete accounts.reads;
    expect(made.renew(await JmapClient.connect())).toBe(true);
    expect(made.here).toBe(made.own);
    expect(route.place.account).toBeNull();
    accounts.own!.isReadOnly = true;
    expect(made.renew(await JmapClient.connect())).toBe(false);
    made.stop();
  });

  test("other rights make other accounts", async () => {
    const { made, JmapClient } = await started();
    expect(made.isOf(await JmapClient.connect())).toBe(true);
    accounts.reads = account("office@example.org", { isReadOnly: true }, true);
    expect(made.isOf(await JmapClient.connect())).toBe(false);
    delete accounts.reads;
    expect(made.isOf(await JmapClient.connect())).toBe(false);
    made.stop();
  });
});
