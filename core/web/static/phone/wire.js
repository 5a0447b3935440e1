// What crosses the wire between this phone and its server: see docs/phone-app.md. Everything here is pure; who calls is
// server.js.
import { canonical, hash, randomID, sign, thumbprint, utf8, verify } from "./jose.js";
import { lines } from "./transaction.js";

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * The modes, by how the number gets across: "tap" one of several here, "type" it here, or "show" it here for the page to
 * ask for it; "agree" is without a number. digits is the length of a number.
 */
export const modes = {
  accept_deny: { by: "agree", digits: 0 },
  number_matching_2: { by: "tap", digits: 2 },
  number_matching_3: { by: "tap", digits: 3 },
  number_typed_2: { by: "type", digits: 2 },
  number_typed_3: { by: "type", digits: 3 },
  number_typed_6: { by: "type", digits: 6 },
  code_shown_6: { by: "show", digits: 6 },
};

/** The path of a device operation, below the server's base URL. */
export const path = (device, action) => `api/v3/authenticators/mobile/${device}/${action}/`;

/**
 * The short code in a text, as it is shown: from a link to this page of any server, or typed in any spelling. Gives
 * {server, code}, server "" for a typed one; null for anything else.
 */
export function shortCode(text) {
  const link = /^(https?:\/\/[^/?#\s]+\/)if\/phone\/#(.*)$/i.exec(text.trim());
  const symbols = (link ? link[2] : text).toUpperCase().replace(/[\s\u2010\u2011\u2013-]/g, "").replace(/[IL]/g, "1").replace(/O/g, "0");
  if (!/^[0-9A-HJKMNP-TV-Z]{10}$/.test(symbols)) return null;
  return { server: link ? link[1].toLowerCase() : "", code: symbols.replace(/^(....)(....)/, "$1-$2-") };
}

/** Reads the payload of a code. Throws where it is none; the message never has the token. */
export function payload(text) {
  let p;
  try {
    p = JSON.parse(text);
  } catch {
    throw new Error("not a code");
  }
  const url = URL.parse ? URL.parse(p?.u) : safely(() => new URL(p?.u));
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.search || url.hash) throw new Error("no server");
  if (!uuid.test(p.s ?? "") || !/^[A-Za-z0-9._~+/=-]{1,256}$/.test(p.t ?? "")) throw new Error("not a code");
  return { server: url.href.endsWith("/") ? url.href : url.href + "/", device: p.s.toLowerCase(), token: p.t };
}

function safely(make) {
  try {
    return make();
  } catch {
    return null;
  }
}

/**
 * What a phone that is added and the other side, a page or the phone whose place it takes, both show, if it is this phone that called
 * in: nine digits of a digest of what the enrolment bound together. Each side computes it from what it has itself. tokenHash: of the
 * one-time token; possession and verification: the thumbprints of the phone's keys, "" for one that it has not.
 */
export async function fingerprint({ device, tokenHash, possession, verification = "", serverKey, salt }) {
  const text = canonical({
    device, possession, salt, server: await thumbprint(serverKey), token: tokenHash, typ: "countersign-enrolment",
    user_verification: verification, v: 1,
  });
  const digest = new DataView(await crypto.subtle.digest("SHA-256", utf8(text)));
  return String(digest.getBigUint64(0) % 1000000000n).padStart(9, "0");
}

/** The claims of the proof of a request (RFC 9449, and the hash of its body). */
export async function proofClaims({ method, url, body, token, nonce, id, seconds }) {
  const claims = { ath: await hash(token), bh: await hash(body), htm: method, htu: url.split(/[?#]/)[0], iat: seconds, jti: id };
  return canonical(nonce ? { ...claims, nonce } : claims);
}

/** Proves a request with the possession key. seconds: this phone's clock, which the server does not believe. */
export async function prove(key, request) {
  const claims = await proofClaims({ id: randomID(), seconds: Math.floor(Date.now() / 1000), ...request });
  return sign("dpop+jwt", claims, key, true);
}

/**
 * Checks that the server's key signed a challenge for this device, and gives what is to be shown: nothing of it comes from
 * anywhere else. Throws where it does not hold.
 */
export async function checkChallenge(compact, { serverKey, server, device }) {
  const text = await verify("countersign-challenge+jwt", compact, serverKey);
  return { ...readChallenge(text, { server, device }), digest: await hash(text) };
}

/** What the text of a challenge says. lines: of what is no login, all that is signed of it; without them it is a login. */
export function readChallenge(text, { server, device }) {
  const c = JSON.parse(text);
  const login = c.v === 1 && c.apr === undefined;
  if (!login && (c.v !== 2 || !c.apr)) throw new Error("another version");
  if (c.iss !== server) throw new Error("another server's");
  if (c.aud !== device) throw new Error("for another device");
  if (!uuid.test(c.tx) || !Number.isInteger(c.exp) || !Number.isInteger(c.iat)) throw new Error("no id or no times");
  checkItems(c.mode, c.items ?? []);
  const word = (name) => (typeof c.ctx?.[name] === "string" ? c.ctx[name] : "");
  return {
    tx: c.tx, mode: c.mode, ...modes[c.mode], items: c.items ?? [], created: c.iat * 1000, expires: c.exp * 1000,
    ...(!login && { lines: lines(c.apr) }),
    context: {
      application: word("app"), browser: word("browser"), host: word("host"), ip: word("ip"), os: word("os"),
      time: Number.isInteger(c.ctx?.time) ? c.ctx.time * 1000 : c.iat * 1000,
    },
  };
}

function checkItems(mode, items) {
  const known = Object.hasOwn(modes, mode) && modes[mode];
  if (!known) throw new Error("a mode that is not known");
  if (!Array.isArray(items)) throw new Error("no items");
  const number = new RegExp(`^[0-9]{${known.digits}}$`);
  const fits = {
    agree: () => items.join() === "accept,deny",
    tap: () => items.length === 3 && new Set(items).size === 3 && items.every((i) => number.test(i)),
    type: () => items.length === 0,
    show: () => items.length === 1 && number.test(items[0]),
  };
  if (!fits[known.by]()) throw new Error("items do not fit the mode");
}

/** The claims of an answer to a challenge: verb is approve, deny or report; item the number, with approve only. */
export function answerClaims(challenge, { server, device }, verb, item, use) {
  return canonical({
    act: verb, aud: server, ch: challenge.digest, exp: challenge.expires / 1000, item: verb === "approve" ? item : "", sub: device,
    tx: challenge.tx, use, v: 1,
  });
}

/** Signs an answer with the possession key. */
export const signAnswer = (key, claims) => sign("countersign-answer+jwt", claims, key, false);

/** Signs with the possession key that another phone, by the thumbprints of its keys, takes this one's place. */
export const signEndorsement = (key, { server, device }, other) => sign("countersign-endorsement+jwt", canonical({
  act: "transfer", aud: server, for: other.device, possession: other.possession, sub: device, use: "possession",
  user_verification: other.verification, v: 1,
}), key, false);
