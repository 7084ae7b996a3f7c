/* The service worker: the application itself and what was read lately are there without a connection. */

const SHELL = "shell";
const MAIL = "mail";
const MOST_KEPT = 400;
const LARGEST = 2_000_000;

self.addEventListener("install", (event) => event.waitUntil(keepShell().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (/^\/console(?:\/|$)/.test(url.pathname)) return; // another application: it shows what is so now, or nothing
  if (request.mode === "navigate") {
    if (url.pathname === "/view/frame") event.respondWith(newest(request, MAIL, event));
    else event.respondWith(page(request, event));
  } else if (url.pathname.startsWith("/assets/") || url.pathname === "/icon.svg") event.respondWith(kept(request));
  else if (/^\/(?:view\/|jmap\/session$|api\/v1\/standby$)/.test(url.pathname) || isPicture(url, request)) event.respondWith(newest(request, MAIL, event));
});

/** Pictures that a message shows, not files that are downloaded. */
function isPicture(url, request) {
  return url.pathname.startsWith("/jmap/download/") && request.destination === "image";
}

/** Everything the application is made of, and nothing of an older one. */
async function keepShell() {
  const files = (await (await fetch("/shell.json", { cache: "no-cache" })).json()).map((name) => `/${name}`);
  const cache = await caches.open(SHELL);
  const known = new Set((await cache.keys()).map(({ url }) => new URL(url).pathname));
  await cache.addAll(["/", "/icon.svg", ...files.filter((name) => !known.has(name))]);
  const wanted = new Set(["/", "/icon.svg", ...files]);
  await Promise.all([...known].filter((name) => !wanted.has(name)).map((name) => cache.delete(name)));
}

/** The application, whatever page of it is asked for. */
async function page(request, event) {
  try {
    const response = await fetch(request);
    event.waitUntil(keepShell().catch(() => {}));
    return response;
  } catch (error) {
    const found = await caches.match("/", { cacheName: SHELL });
    if (found === undefined) throw error;
    return found;
  }
}

async function kept(request) {
  return (await caches.match(request, { cacheName: SHELL })) ?? fetch(request);
}

/** From the server where it answers, else as it was. */
async function newest(request, name, event) {
  let response;
  try {
    response = await fetch(request);
  } catch (error) {
    const found = await caches.match(request, { cacheName: name, ignoreVary: true });
    if (found === undefined) throw error;
    return found;
  }
  if (response.ok && Number(response.headers.get("Content-Length") ?? 0) <= LARGEST) event.waitUntil(keep(name, request, response.clone()));
  return response;
}

async function keep(name, request, response) {
  const cache = await caches.open(name);
  await cache.put(request, response);
  const keys = await cache.keys();
  await Promise.all(keys.slice(0, Math.max(0, keys.length - MOST_KEPT)).map((key) => cache.delete(key)));
}
