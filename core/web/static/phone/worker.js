// The service worker: the page opens without a network, and a push becomes a notification. It sees no key and no secret: a
// push says only that there is something to fetch. The server puts version, shell and files above this.
/* global version, files */

const shell = "/if/phone/";
const cache = `phone-${version}`;

self.addEventListener("install", (event) => event.waitUntil(fill().then(() => self.skipWaiting())));

async function fill() {
  const box = await caches.open(cache);
  await box.addAll([shell, ...files]);
}

self.addEventListener("activate", (event) => event.waitUntil(sweep().then(() => self.clients.claim())));

async function sweep() {
  for (const name of await caches.keys()) if (name.startsWith("phone-") && name !== cache) await caches.delete(name);
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (request.mode === "navigate" && pathname === shell) event.respondWith(page(request));
  else if (files.includes(pathname)) event.respondWith(caches.match(request, { cacheName: cache }).then((kept) => kept ?? fetch(request)));
});

/** The page of the server, or the one that is kept where the server cannot be reached or has none to give. */
async function page(request) {
  try {
    const response = await fetch(request);
    if (response.status < 500) return response;
  } catch {
    // Offline: the page says so itself.
  }
  return (await caches.match(shell, { cacheName: cache })) ?? Response.error();
}

self.addEventListener("push", (event) => event.waitUntil(ring()));

async function ring() {
  const open = await self.clients.matchAll({ type: "window" });
  for (const client of open) client.postMessage("look");
  // Browsers want every push to be seen; a page that is looked at shows the request itself.
  if (open.some((client) => client.visibilityState === "visible")) return;
  await self.registration.showNotification("Is this you?", {
    body: "A request waits for your answer.", tag: "request", renotify: true, requireInteraction: true,
    icon: "/if/phone/icon-192.png", badge: "/if/phone/badge.png", vibrate: [120, 60, 120],
  });
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open());
});

async function open() {
  const [first] = await self.clients.matchAll({ type: "window" });
  if (!first) return self.clients.openWindow(shell);
  first.postMessage("look");
  return first.focus();
}
