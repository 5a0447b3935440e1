// Finds out what the accounts are asked, while somebody looks at the page.
//
//	visible ─▶ a lane or several ─▶ GET pending/?wait= ─▶ requests change ─▶ "change"
//	   ▲                                                      ▲
//	   └─ the button, a push, the page comes back: at once ───┘
//
// Not all accounts ask at the same time where there are many: browsers have few connections to one server.
import { pause } from "../flow/api.js";
import * as store from "./store.js";
import { checkChallenge } from "./wire.js";
import { call, now } from "./server.js";

const hold = 50; // s for which the server may hold an answer back
const pace = 1000; // ms between two questions of a lane at the least
const again = 5000; // ms between them after a failure
const lanes = 3;

/** Tells of changes: "change", of the requests or of what is wrong with an account. */
export const changes = new EventTarget();

const requests = new Map(); // device → {account, challenge, approved}
const troubles = new Map(); // device → Failure, or {reason: "forged"}
const answered = new Set(); // tx that were answered here: the server may still name them
let running = new AbortController();

/**
 * What waits for an answer, the one that ends first coming first: {account, challenge, approved}. approved: the answer is
 * given, and the code that this phone shows is still to be typed at the page.
 */
export const waiting = () =>
  [...requests.values()].filter((r) => r.challenge.expires > now()).sort((a, b) => a.challenge.expires - b.challenge.expires);

/** What is wrong with an account: a Failure, {reason: "forged"}, or undefined. */
export const trouble = (device) => troubles.get(device);

/** Takes a request off the list: it was answered, or is over. */
export function settle(challenge) {
  answered.add(challenge.tx);
  for (const [device, r] of requests) if (r.challenge.tx === challenge.tx) requests.delete(device);
  tell();
}

/** Notes that a request is approved, and stays until its code was typed. */
export function approved(challenge) {
  for (const r of requests.values()) if (r.challenge.tx === challenge.tx) r.approved = true;
}

const tell = () => changes.dispatchEvent(new Event("change"));

/** The accounts that can be asked something. */
const watched = async () => (await store.accounts()).filter((a) => !a.gone && !a.unconfirmed);

/** Begins to watch, or begins anew with the accounts that there are now. */
export async function start() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const accounts = await watched();
  const known = new Set(accounts.map((a) => a.device));
  for (const map of [requests, troubles]) for (const device of map.keys()) if (!known.has(device)) map.delete(device);
  tell();
  for (let i = 0; i < Math.min(lanes, accounts.length); i++) {
    lane(accounts.filter((_, n) => n % lanes === i), signal);
  }
}

/** Looks at every account once, now; resolves when all have answered. */
export async function look() {
  const accounts = await watched();
  await Promise.all(accounts.map((a) => ask(a, 0, running.signal)));
}

async function lane(accounts, signal) {
  for (let i = 0; !signal.aborted; i = (i + 1) % accounts.length) {
    const account = accounts[i];
    await attended(signal);
    if (signal.aborted) return;
    const began = performance.now();
    await ask(account, Math.max(5, Math.floor(hold / accounts.length)), signal);
    if (troubles.get(account.device)?.reason === "gone" && accounts.length === 1) return;
    await pause((troubles.has(account.device) ? again : pace) - (performance.now() - began), signal);
  }
}

/** Asks for an account once; what comes of it is told by changes. */
async function ask(account, wait, signal) {
  let found;
  // Nobody looks: the server need not hold an answer for us.
  const left = new AbortController();
  const leave = () => document.hidden && left.abort();
  if (wait) document.addEventListener("visibilitychange", leave);
  const stop = () => left.abort();
  signal.addEventListener("abort", stop);
  if (signal.aborted) left.abort();
  try {
    // What is shown already is no news: the server holds the answer until that changes.
    const known = requests.get(account.device)?.challenge.tx;
    const query = wait ? `?wait=${wait}${known ? `&known=${known}` : ""}` : "";
    const { pending } = await call(account, "GET", "pending", undefined, { query, signal: left.signal });
    found = pending ?? [];
  } catch (failure) {
    if (failure.name === "AbortError") return;
    if (failure.reason === "gone") await store.change(account.device, { gone: true });
    troubles.set(account.device, failure);
    return tell();
  } finally {
    document.removeEventListener("visibilitychange", leave);
    signal.removeEventListener("abort", stop);
  }
  if (signal.aborted) return;
  await take(account, found);
}

/** Takes what the server said is pending for an account. */
async function take(account, found) {
  const before = requests.get(account.device)?.challenge.tx;
  const wrong = troubles.delete(account.device);
  let next;
  for (const one of found) {
    try {
      const challenge = await checkChallenge(one.challenge, account);
      if (!answered.has(challenge.tx) && challenge.expires > now()) next = { account, challenge, approved: one.approved === true };
    } catch {
      troubles.set(account.device, { reason: "forged", message: "Something came that your server did not sign. It is not shown." });
    }
  }
  if (next) requests.set(account.device, next);
  else requests.delete(account.device);
  if (before !== next?.challenge.tx || wrong || troubles.has(account.device)) tell();
}

/** Resolves when somebody looks and there is a network, at once if so. */
function attended(signal) {
  return new Promise((resolve) => {
    const look = () => {
      if (!signal.aborted && (document.hidden || navigator.onLine === false)) return;
      document.removeEventListener("visibilitychange", look);
      removeEventListener("online", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    addEventListener("online", look);
    signal.addEventListener("abort", look);
    look();
  });
}
