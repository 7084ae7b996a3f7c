/** Calls of the API of administrators. */

const ROOT = "/api/v1";
const PATIENCE_MS = 60_000;

export type Query = Record<string, string | number | boolean | null | undefined>;

/** What the server refused (a problem document, RFC 9457), or that it could not be asked (`code` is "unreachable"). */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail: string,
  ) {
    super(title);
  }
}

export function address(path: string, query: Query = {}): string {
  const wanted = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const parameters = new URLSearchParams(wanted.map(([name, value]) => [name, String(value)]));
  return ROOT + path + (parameters.size > 0 ? `?${parameters}` : "");
}

/** Raises `Refused`. */
export async function call<T>(method: "GET" | "POST", path: string, query: Query = {}, body?: unknown): Promise<T> {
  const init: RequestInit = { method, signal: AbortSignal.timeout(PATIENCE_MS), headers: { Accept: "application/json" } };
  if (method === "POST") {
    init.headers = { Accept: "application/json", "X-Everpost": "1", ...(body === undefined ? {} : { "Content-Type": "application/json" }) };
    if (body !== undefined) init.body = JSON.stringify(body);
  }
  let answer: Response;
  try {
    answer = await fetch(address(path, query), init);
    if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
  } catch {
    throw new Refused(0, "unreachable", "", "");
  }
  throw await refusal(answer);
}

async function refusal(answer: Response): Promise<Refused> {
  const text = await answer.text().catch(() => "");
  let told: { code?: string; title?: string; detail?: string } = {};
  try {
    told = JSON.parse(text) as typeof told;
  } catch {
    // Something between us and the server answered: the status alone has to do.
  }
  const code = told.code ?? (answer.status === 503 ? "unavailable" : "unknown");
  return new Refused(answer.status, code, told.title ?? `HTTP ${answer.status}`, told.detail ?? "");
}
