import { afterEach, expect, test, vi } from "vitest";
import type { JmapClient } from "./client";
import { Push } from "./push";

class Source {
  static last: Source;
  onopen: (() => void) | null = null;
  readonly close = vi.fn();
  constructor(readonly url: string) {
    Source.last = this;
  }
  addEventListener(): void {}
}

afterEach(() => vi.unstubAllGlobals());

test("what came before the stream was open is asked for, each time it opens", () => {
  vi.stubGlobal("EventSource", Source);
  const changed = vi.fn();
  const push = new Push({ eventUrl: () => "/events" } as unknown as JmapClient, changed);
  expect(changed).not.toHaveBeenCalled();
  Source.last.onopen?.();
  expect(changed).toHaveBeenCalledExactlyOnceWith(null);
  Source.last.onopen?.(); // the browser opened it again by itself
  expect(changed).toHaveBeenCalledTimes(2);
  push.close();
  expect(Source.last.close).toHaveBeenCalled();
});
