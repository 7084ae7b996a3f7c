/** What is kept in this browser for times without a connection (IndexedDB). Where that is not to be had, nothing is. */

const NAME = "everpost";
const VERSION = 1;
const KINDS = ["answers", "emails", "threads", "queue", "meta"] as const;
export type Kind = (typeof KINDS)[number];

let opened: Promise<IDBDatabase | null> | null = null;

function database(): Promise<IDBDatabase | null> {
  opened ??= new Promise((resolve) => {
    if (typeof indexedDB === "undefined") {
      resolve(null);
      return;
    }
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => KINDS.forEach((kind) => request.result.createObjectStore(kind));
    request.onsuccess = () => resolve(request.result);
    request.onerror = request.onblocked = () => resolve(null);
  });
  return opened;
}

/** Never fails: undefined where it is not there, or cannot be read. */
async function perform<T>(kind: Kind, mode: IDBTransactionMode, what: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | undefined> {
  const base = await database();
  if (base === null) return undefined;
  return new Promise((resolve) => {
    try {
      const transaction = base.transaction(kind, mode);
      const request = what(transaction.objectStore(kind));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => resolve(undefined);
    } catch {
      resolve(undefined);
    }
  });
}

export const store = {
  get: <T>(kind: Kind, key: string): Promise<T | undefined> => perform<T>(kind, "readonly", (place) => place.get(key)),
  put: (kind: Kind, key: string, value: unknown): Promise<unknown> => perform(kind, "readwrite", (place) => place.put(value, key)),
  remove: (kind: Kind, key: string): Promise<unknown> => perform(kind, "readwrite", (place) => place.delete(key)),
  keys: async (kind: Kind): Promise<string[]> => ((await perform(kind, "readonly", (place) => place.getAllKeys())) ?? []) as string[],
  all: async <T>(kind: Kind): Promise<T[]> => (await perform<T[]>(kind, "readonly", (place) => place.getAll())) ?? [],

  /** All of it, and what the service worker kept of the mail. */
  async clear(): Promise<void> {
    await Promise.all(KINDS.map((kind) => perform(kind, "readwrite", (place) => place.clear())));
    if (typeof caches !== "undefined") await caches.delete("mail").catch(() => false);
  },

  /** The first ones put in go, once there are more than `most`. */
  async bound(kind: Kind, most: number): Promise<void> {
    const stored = (await perform<{ at: number }[]>(kind, "readonly", (place) => place.getAll())) ?? [];
    if (stored.length <= most) return;
    const keys = await store.keys(kind);
    const oldest = keys.map((key, index) => ({ key, at: stored[index]!.at })).sort((one, other) => one.at - other.at);
    for (const { key } of oldest.slice(0, stored.length - most)) await store.remove(kind, key);
  },
};
