// Accounts on this phone: how one is added, and what it tells its server.
import { hash, newKey, randomID } from "./jose.js";
import { call, Failure } from "./server.js";
import * as store from "./store.js";
import * as verify from "./verify.js";
import { fingerprint, path, prove } from "./wire.js";

const version = "1.1"; // of what is told about this page

/** What this phone is called when its owner says nothing else. */
export async function phoneName() {
  const { model, family } = await describe();
  return model || { ios: "iPhone", android: "Android phone" }[family] || "Browser";
}

/** Which kind of phone this is: "ios", "android" or "other". */
export function family() {
  const agent = navigator.userAgent;
  if (/android/i.test(agent)) return "android";
  // An iPad calls itself a Mac, which has no touch screen.
  return /iPhone|iPad|iPod/.test(agent) || (/Macintosh/.test(agent) && navigator.maxTouchPoints > 1) ? "ios" : "other";
}

async function describe() {
  const hints = await navigator.userAgentData?.getHighEntropyValues(["model", "platformVersion"]).catch(() => null);
  const written = /(?:Android|OS|Version)[ /]([0-9]+(?:[._][0-9]+)*)/.exec(navigator.userAgent)?.[1].replace(/_/g, ".");
  return { family: family(), model: hints?.model ?? "", system: hints?.platformVersion || written || "unknown" };
}

/** What the server is told about this phone, under the name that its owner gave it. */
async function info(hostname) {
  const { family: platform, model, system } = await describe();
  return {
    platform, os_version: system, model: model || (await phoneName()), hostname, app_version: version,
    others: { countersign: { fetch: true, v: 1, transactions: true, app: "pocket" } },
  };
}

/**
 * Adds an account by the payload of a code: makes its key, trades the one-time token, and stores what came. name: of the
 * account, here; phone: what the server calls this phone; owner: have the phone check who approves, where it can. Resolves to
 * the account; rejects with a Failure.
 */
export async function enrol({ server, device, token }, { name, phone, owner }) {
  const key = await newKey();
  const passkey = owner ? await verify.create(token, key, name) : null;
  const about = await info(phone);
  const keys = { possession: key.jwk, ...(passkey && { user_verification_passkey: passkey.registration }) };
  const reply = await call({ server, device, token, key }, "POST", "enrollment_callback",
    { device_uid: randomID(), info: about, keys }, { bearer: true });
  const account = {
    server, device, token: reply.token, serverKey: reply.server_key, key, passkey: passkey?.id, name, phone, added: Date.now(), version,
    // Somebody still has to see, at another screen, that it is this phone: by these digits.
    unconfirmed: reply.salt && await fingerprint({
      device, tokenHash: await hash(token), possession: key.thumbprint, verification: passkey?.thumbprint, serverKey: reply.server_key, salt: reply.salt,
    }),
  };
  await store.keep(account);
  return account;
}

/** Tells the server of an account what this page can do, if that is more than when it last heard. Rejects with a Failure. */
export async function introduce(account) {
  if (account.version === version || account.gone || account.unconfirmed) return;
  await call(account, "POST", "check_in", await info(account.phone));
  await store.change(account.device, { version });
}

// A key is changed in two steps, so that nothing that gets lost on the way locks the phone out:
//
//	key ─ rotate_keys, proved by key ─▶ next waits ─ check_in, proved by next ─▶ next is the key
//
// next is stored here before the server hears of it, and key until the server has taken next.

/** Gives the account a new key. Resolves to the account as it is then; rejects with a Failure, and the old key stays. */
export async function renew(account) {
  const next = account.next ?? (await newKey());
  const now = await store.change(account.device, { next });
  const request = { method: "POST", url: account.server + path(account.device, "rotate_keys"), token: account.token };
  await call(account, "POST", "rotate_keys", {
    keys: { possession: next.jwk }, possession_proof: await prove(next, { ...request, body: account.key.thumbprint }),
  });
  return settle(now);
}

/** Finishes a change of the key that was begun: by the new one if the server takes it, else the old one stays. */
export async function settle(account) {
  if (!account.next) return account;
  try {
    await call({ ...account, key: account.next }, "POST", "check_in", await info(account.phone));
  } catch (failure) {
    if (failure.reason !== "proof") throw failure;
    await store.change(account.device, { next: undefined });
    throw new Failure("failed", "The server did not take the new key. The old one stays in use.");
  }
  return store.change(account.device, { key: account.next, next: undefined, renewed: Date.now() });
}
