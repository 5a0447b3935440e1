// Calls of the device operations: each one proved by the account's key.
import { path, prove } from "./wire.js";

const nonces = new Map(); // the server's last, by device
let ahead = 0; // ms that the server's clock is ahead of this one

/** The server's clock, in milliseconds: how long something still goes does not hang on this phone's. */
export const now = () => Date.now() + ahead;

/**
 * A call that failed. reason: "offline" (no answer at all), "busy" (try again), "gone" (the server does not know this phone
 * any more), "over" (nobody waits), "wrong" (the number; left tells how many more tries there are), "refused" (what was sent is wrong; the message says why), "proof" (the
 * key is not the one that the server knows), "failed".
 */
export class Failure extends Error {
  constructor(reason, message, left) {
    super(message);
    this.reason = reason;
    this.left = left;
  }
}

/**
 * One operation of a device: account has {server, device, token, key}; token alone, of an enrolment, goes as a bearer.
 * Resolves to the JSON of the answer, null for none. Rejects with a Failure, or with the signal's AbortError.
 */
export async function call(account, method, action, body, { query = "", signal, bearer } = {}) {
  const url = account.server + path(account.device, action);
  const text = body === undefined ? "" : JSON.stringify(body);
  let response;
  for (let tries = 0; tries < 2; tries++) {
    const proof = await prove(account.key, { method, url, body: text, token: account.token, nonce: nonces.get(account.device) });
    response = await send(url + query, {
      method, signal, body: text || undefined, cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
      headers: {
        Accept: "application/json", Authorization: `${bearer ? "Bearer" : "DPoP"} ${account.token}`, DPoP: proof,
        ...(text ? { "Content-Type": "application/json" } : {}),
      },
    });
    const nonce = response.headers.get("DPoP-Nonce");
    if (nonce) nonces.set(account.device, nonce);
    if (response.status !== 401 || !/use_dpop_nonce/.test(response.headers.get("WWW-Authenticate") ?? "")) break;
  }
  const data = response.status === 204 ? null : await response.json().catch(() => null);
  if (response.ok) return data;
  throw failure(response.status, data);
}

/** A call that needs no account: below the API's path of the page's own server, with JSON. Rejects with a Failure. */
export async function plain(method, path, body) {
  const response = await send(`/api/v3/authenticators/mobile/${path}/`, {
    method, cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
    headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) }, body: body && JSON.stringify(body),
  });
  const data = await response.json().catch(() => null);
  if (response.ok) return data;
  throw failure(response.status, data);
}

/** fetch, which learns the server's clock, and has no answer as a Failure. */
export async function send(url, options) {
  let response;
  const began = Date.now();
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("offline", "The server cannot be reached. Look at your connection and try again.");
  }
  const date = Date.parse(response.headers.get("Date") ?? "");
  // The header has whole seconds, and an answer that was held back says nothing about the way.
  if (date && Date.now() - began < 5000) {
    const seen = date + 500 - Date.now();
    if (Math.abs(seen - ahead) > 1500) ahead = Math.abs(seen) > 1500 ? seen : 0;
  }
  return response;
}

/** What a status means for a phone, in words for its owner. */
export function failure(status, data) {
  if (status === 400) {
    if (data?.code === "wrong_number") {
      const left = Number(data.attempts_left) || 0;
      return new Failure("wrong", `That is not the number on the page. ${left === 1 ? "One more try is left." : `${left} tries are left.`}`, left);
    }
    return new Failure("refused", words(data).join(" ") || "The server did not take this.");
  }
  switch (status) {
    case 401:
      return new Failure("proof", "The server did not accept this phone’s signature. If it stays that way, remove the account here and add it again.");
    case 403:
      return new Failure("gone", "The server does not know this phone any more.");
    case 404:
      return new Failure("over", "Nobody waits for this any more.");
    case 429:
      return new Failure("busy", "That was tried too often. Wait some minutes, then try again.");
    case 502:
    case 503:
    case 504:
      return new Failure("busy", "The server is busy or starting. Try again in a moment.");
  }
  return new Failure("failed", "Something went wrong on the server. Try again in a moment.");
}

/** All texts in a body of errors, however deep. */
const words = (data) => (typeof data === "string" ? [data] : Object.values(data ?? {}).flatMap(words));
