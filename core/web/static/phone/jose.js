// What is signed: compact JWS by ES256 (RFC 7515, RFC 7518 §3.4) over claims that have one canonical form. The algorithm is
// that of the key that is known, whatever a header says.

const curve = { name: "ECDSA", namedCurve: "P-256" };
const algorithm = { name: "ECDSA", hash: "SHA-256" };

/** A text as UTF-8. */
export const utf8 = (text) => new TextEncoder().encode(text);

/** Bytes as base64url without padding. */
export function base64url(bytes) {
  const binary = Array.from(new Uint8Array(bytes), (b) => String.fromCharCode(b)).join("");
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** The bytes of base64url without padding; throws on anything that would not be written so. */
export function bytesOf(text) {
  if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) throw new Error("not base64url");
  const bytes = Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  if (base64url(bytes) !== text) throw new Error("not base64url as it is written");
  return bytes;
}

/** SHA-256 of bytes or of a text, base64url. */
export async function hash(data) {
  return base64url(await crypto.subtle.digest("SHA-256", typeof data === "string" ? utf8(data) : data));
}

/** A new id that nobody can guess: 128 bits, base64url. */
export const randomID = () => base64url(crypto.getRandomValues(new Uint8Array(16)));

/** The public members of a key on P-256, in the order of RFC 7638. Throws on any other key. */
function publicPart({ kty, crv, x, y }) {
  if (kty !== "EC" || crv !== "P-256" || bytesOf(x).length !== 32 || bytesOf(y).length !== 32) throw new Error("not a key on P-256");
  return { crv, kty, x, y };
}

/** The RFC 7638 thumbprint of a public key. */
export const thumbprint = (jwk) => hash(JSON.stringify(publicPart(jwk)));

/** Makes a key pair whose private part nobody can read, this page neither. */
export async function newKey() {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(curve, false, ["sign", "verify"]);
  const jwk = publicPart(await crypto.subtle.exportKey("jwk", publicKey));
  return { privateKey, jwk, thumbprint: await thumbprint(jwk) };
}

/** Claims in their one form (RFC 8785 for what they may hold): names in order, no spaces, whole numbers, visible ASCII. */
export function canonical(claims) {
  const text = JSON.stringify(Object.fromEntries(Object.entries(claims).sort(([a], [b]) => (a < b ? -1 : 1))));
  if (!/^[\x20-\x7e]*$/.test(text) || text.includes("\\")) throw new Error("claims have to be visible ASCII");
  return text;
}

/** Signs a text with a pair of newKey. named: the header has the key itself (jwk), else its thumbprint (kid). */
export async function sign(typ, payload, key, named) {
  const header = named ? { alg: "ES256", jwk: key.jwk, typ } : { alg: "ES256", kid: key.thumbprint, typ };
  const input = base64url(utf8(JSON.stringify(header))) + "." + base64url(utf8(payload));
  return input + "." + base64url(await crypto.subtle.sign(algorithm, key.privateKey, utf8(input)));
}

/** The payload, as text, of a JWS of a type that the holder of a key on P-256 made; throws on anything else. */
export async function verify(typ, compact, jwk) {
  const [first, second, third, ...more] = String(compact).split(".");
  if (third === undefined || more.length) throw new Error("not a compact JWS");
  const header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytesOf(first)));
  const odd = Object.keys(header).find((name) => !["alg", "kid", "typ"].includes(name));
  if (odd) throw new Error(`the header may not have ${odd}`);
  if (header.typ !== typ) throw new Error(`typ must be ${typ}`);
  if (header.alg !== "ES256") throw new Error("alg must be that of the key");
  if (header.kid !== (await thumbprint(jwk))) throw new Error("kid names another key");
  const signature = bytesOf(third);
  if (signature.length !== 64) throw new Error("the signature has the wrong length");
  const key = await crypto.subtle.importKey("jwk", publicPart(jwk), curve, false, ["verify"]);
  if (!(await crypto.subtle.verify(algorithm, key, signature, utf8(first + "." + second)))) throw new Error("the signature does not hold");
  return new TextDecoder("utf-8", { fatal: true }).decode(bytesOf(second));
}
