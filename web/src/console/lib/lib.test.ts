import { describe, expect, test, vi } from "vitest";
import { address, call, Refused } from "./api";
import { totals } from "./dryrun";
import { affected, byLane, open } from "./lanes";
import { pace, percent } from "./pace";
import { parsePlace, writePlace } from "./place";
import { timeline } from "./timeline";
import type { LaneCount, MessageTrace, OrganisationOverview } from "./types";
import { isPossible } from "./verbs";

describe("place", () => {
  test.each([
    ["/console/", "", { page: "overview", id: "", values: {} }],
    ["/console/primary/1abc", "?organisation=acme", { page: "primary", id: "1abc", values: { organisation: "acme" } }],
    ["/console/trace", "?recipient=a%2Bb%40example.org", { page: "trace", id: "", values: { recipient: "a+b@example.org" } }],
    ["/console/switch/clean-bill", "?kind=primary&id=7", { page: "switch", id: "clean-bill", values: { kind: "primary", id: "7" } }],
  ])("%s%s is read and written alike", (path, search, place) => {
    expect(parsePlace(path, search)).toEqual(place);
    expect(writePlace(parsePlace(path, search))).toBe(path + search);
  });

  test("what is no page is the overview; broken escapes are nothing", () => {
    expect(parsePlace("/console/nowhere/7", "")).toEqual({ page: "overview", id: "", values: {} });
    expect(parsePlace("/console/trace/%E0%A4", "")).toEqual({ page: "trace", id: "", values: {} });
  });

  test("empty values are left out", () => {
    expect(writePlace({ page: "queue", id: "", values: { lane: "", search: "x" } })).toBe("/console/queue?search=x");
  });
});

describe("pace", () => {
  const from = (...pairs: [number, number][]) => pairs.map(([seconds, done]) => ({ at: seconds * 1000, done }));

  test("is not told before there was time to look", () => {
    expect(pace([], 10)).toBeNull();
    expect(pace(from([0, 0], [4, 3]), 10)).toBeNull();
  });

  test("rate and time left", () => {
    expect(pace(from([0, 10], [30, 25], [60, 40]), 100)).toEqual({ perMinute: 30, secondsLeft: 120 });
  });

  test("where nothing moves, nothing is promised", () => {
    expect(pace(from([0, 10], [60, 10]), 100)).toEqual({ perMinute: 0, secondsLeft: null });
    expect(pace(from([0, 10], [60, 100]), 100)?.secondsLeft).toBe(0);
  });

  test.each([[0, 0, 100], [999, 1000, 99], [1000, 1000, 100], [1, 1000, 0]])("%i of %i are %i %", (done, total, wanted) => {
    expect(percent(done, total)).toBe(wanted);
  });
});

describe("lanes", () => {
  const count = (lane: string, status: "queued" | "held", number: number, more: Partial<LaneCount> = {}): LaneCount => ({
    lane, status, hold_reason: status === "held" ? "operator" : null, count: number, oldest: "2026-01-02T00:00:00Z", next: null, ...more,
  });
  const counts = [
    count("b.example", "queued", 1, { next: "2026-01-03T00:00:00Z" }),
    count("primary:main", "held", 5, { hold_reason: "activated", oldest: "2026-01-01T00:00:00Z" }),
    count("primary:main", "queued", 2, { next: "2026-01-04T00:00:00Z" }),
    count("a.example", "held", 1),
  ];

  test("a row each, the busiest first", () => {
    const rows = byLane(counts);
    expect(rows.map((row) => row.lane)).toEqual(["primary:main", "a.example", "b.example"]);
    expect(rows[0]).toEqual({ lane: "primary:main", queued: 2, held: [{ reason: "activated", count: 5 }], oldest: "2026-01-01T00:00:00Z", next: "2026-01-04T00:00:00Z" });
    expect([open(counts, "queued"), open(counts, "held")]).toEqual([3, 6]);
  });

  test("who is affected", () => {
    const primary = (trust_state: string, activated: boolean, mailboxes: number) => ({ trust_state, activated, mailboxes, domains: 2 });
    const organisations = [
      { primaries: [primary("trusted", false, 100), primary("down", true, 10)] },
      { primaries: [primary("trusted", true, 1)] },
      { primaries: [primary("trusted", false, 7)] },
    ] as OrganisationOverview[];
    expect(affected(organisations)).toEqual({ organisations: 2, primaries: 2, domains: 4, mailboxes: 11 });
  });
});

test("a dry run is added up", () => {
  const box = { address: "a@example.org", wave: 0, inbound: 2, inbound_octets: 100, appends: 1, flags: 0, moves: 3, deletions: 0, folders: 1 };
  expect(totals([box, box])).toEqual({ inbound: 4, inbound_octets: 200, appends: 2, flags: 0, moves: 6, deletions: 0, folders: 2 });
});

test("a trace in the order of time, what is to come last", () => {
  const delivery = { number: 1, recipient: "a@example.org", lane: "x", attempts: 1, next_attempt_at: "2026-01-01T11:00:00Z", hold_reason: null, in_doubt: false, last_remote: null, last_reply: null };
  const failure = { attempt: 1, at: "2026-01-01T10:05:00+00:00", remote: "r", outcome: "transient", reply: "451" };
  const trace = {
    message: { received_at: "2026-01-01T10:00:00Z" },
    entries: [{ mailbox: "1", address: null, received_at: "2026-01-01T10:00:00Z", origin: "smtp", folders: ["Inbox"] }],
    deliveries: [
      { ...delivery, status: "queued", done_at: null, failures: [failure] },
      { ...delivery, status: "delivered", done_at: "2026-01-01T10:01:00Z", failures: [] },
      { ...delivery, status: "held", done_at: null, failures: [] },
    ],
    events: [
      { id: "1", at: "2026-01-01T10:03:00Z", actor: "admin:a", action: "queue.hold", subject: "m", detail: {} },
      { id: "2", at: "2026-01-01T10:00:00Z", actor: "intake", action: "intake.accept", subject: "m", detail: {} },
    ],
  } as unknown as MessageTrace;
  expect(timeline(trace).map((step) => step.kind)).toEqual(["accepted", "entry", "done", "event", "failure", "waiting", "held"]);
});

test("out of isolation only the clean bill leads", () => {
  expect(isPossible("clear", "compromised")).toBe(false);
  expect(isPossible("clean-bill", "compromised")).toBe(true);
  expect(isPossible("clean-bill", "down")).toBe(false);
  expect(isPossible("isolate", "compromised")).toBe(false);
  expect(isPossible("isolate", "recovering")).toBe(true);
});

describe("calls", () => {
  test("only what is said stands in the address", () => {
    expect(address("/queue", { lane: "", held: false, search: undefined, limit: 5, before: null })).toBe("/api/v1/queue?held=false&limit=5");
  });

  const answers = (response: Response | Error) =>
    vi.stubGlobal("fetch", () => (response instanceof Error ? Promise.reject(response) : Promise.resolve(response)));
  const refused = (promise: Promise<unknown>) => promise.then(() => null, (error: Refused) => [error.status, error.code, error.title, error.detail]);

  test("refusals keep their code", async () => {
    answers(new Response('{"title":"No","code":"impossible","detail":"it has ended"}', { status: 409 }));
    expect(await refused(call("POST", "/x"))).toEqual([409, "impossible", "No", "it has ended"]);
  });

  test("a gateway's page and silence are refusals too", async () => {
    answers(new Response("<h1>Bad gateway</h1>", { status: 502 }));
    expect(await refused(call("GET", "/x"))).toEqual([502, "unknown", "HTTP 502", ""]);
    answers(new TypeError("network"));
    expect(await refused(call("GET", "/x"))).toEqual([0, "unreachable", "", ""]);
  });
});
