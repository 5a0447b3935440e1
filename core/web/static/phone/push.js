// Being rung by Web Push: the service worker, the person's consent, the subscription, and telling it to the accounts' server.
//
//	unsupported   this browser cannot, or the server cannot
//	ask ─▶ on     after a click, and the person's consent
//	denied        the person said no: only the browser's settings change that
//
// A push says only that there is something to fetch. Without any of it the page asks by itself while it is open.
import { bytesOf } from "./jose.js";
import { call, plain } from "./server.js";
import * as store from "./store.js";
import * as watch from "./watch.js";

const scope = "/if/phone/";

/** Starts the service worker, and looks when it says that there is something. Without one the page works as well. */
export async function work() {
  if (!navigator.serviceWorker) return;
  navigator.serviceWorker.addEventListener("message", () => watch.look().catch(() => {}));
  const script = scope + "sw.js";
  const url = window.trustedTypes?.createPolicy("countersign-phone", { createScriptURL: () => script }).createScriptURL("") ?? script;
  await navigator.serviceWorker.register(url, { scope }).catch(() => {});
}

const worker = () => navigator.serviceWorker.getRegistration(scope);

/** The key to subscribe with, or null where the server has no Web Push. */
async function serverKey() {
  const { channels } = await plain("GET", "push_channels");
  return channels.find((c) => c.channel === "webpush")?.vapid_public_key ?? null;
}

/** Whether this phone is rung: "unsupported", "ask", "denied" or "on". */
export async function ringing() {
  if (!window.PushManager || !window.Notification || !(await worker()?.catch(() => null))) return "unsupported";
  if (Notification.permission === "denied") return "denied";
  const subscribed = await (await worker()).pushManager.getSubscription().catch(() => null);
  if (Notification.permission === "granted" && subscribed) return "on";
  return (await serverKey().catch(() => null)) ? "ask" : "unsupported";
}

/** Asks for consent, subscribes, and tells the server. Call it from a click. Resolves to what ringing() is then. */
export async function turnOn() {
  if ((await Notification.requestPermission()) !== "granted") return ringing();
  const key = await serverKey();
  if (!key) return "unsupported";
  const ready = await navigator.serviceWorker.ready;
  const old = await ready.pushManager.getSubscription();
  // One of another key, from before the server's was changed, would ring no more.
  if (old && !same(old.options?.applicationServerKey, bytesOf(key))) await old.unsubscribe();
  await ready.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytesOf(key) });
  await tellAll();
  return ringing();
}

const same = (a, b) => a && new Uint8Array(a).join() === b.join();

/** Tells the server of every account where this phone is rung now, if that is not what it was told last. */
export async function tellAll() {
  const subscription = await (await worker())?.pushManager?.getSubscription().catch(() => null);
  const on = subscription && Notification.permission === "granted";
  for (const account of await store.accounts()) {
    const endpoint = on ? subscription.endpoint : "";
    if (account.gone || account.unconfirmed || (account.rung ?? "") === endpoint) continue;
    const { keys } = on ? subscription.toJSON() : {};
    await call(account, "POST", "set_notification_key", on
      ? { firebase_key: endpoint, channel: "webpush", subscription: { endpoint, keys: { p256dh: keys.p256dh, auth: keys.auth } } }
      : { firebase_key: "-", channel: "none" });
    await store.change(account.device, { rung: endpoint });
  }
}
