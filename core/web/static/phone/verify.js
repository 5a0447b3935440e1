// That it is the phone's owner who approves: a passkey of this phone, which the operating system lets out only after a
// fingerprint, a face or a code. It asserts an answer that the account's own key has signed.
import { base64url, bytesOf, hash, thumbprint } from "./jose.js";
import { Failure } from "./server.js";

const digest = (text) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));

/** Whether this phone can check its owner for a page at this address: a passkey is for a name, not for a number. */
export async function able() {
  if (/^[0-9.]+$|^\[/.test(location.hostname)) return false;
  return (await window.PublicKeyCredential?.isUserVerifyingPlatformAuthenticatorAvailable?.().catch(() => false)) ?? false;
}

/**
 * Makes the passkey of an account that is being added with a one-time token by a key. Resolves to its id, its thumbprint, and
 * what the server is told; null where this phone cannot make one that fits. Rejects with a Failure when the person did not agree.
 */
export async function create(token, possession, name) {
  let credential;
  try {
    credential = await navigator.credentials.create({ publicKey: {
      challenge: await digest(`${token}.${possession.thumbprint}`), rp: { name: document.getElementById("brand").textContent },
      user: { id: crypto.getRandomValues(new Uint8Array(32)), name, displayName: name },
      pubKeyCredParams: [{ type: "public-key", alg: -7 }],
      authenticatorSelection: { authenticatorAttachment: "platform", userVerification: "required", residentKey: "discouraged" },
      attestation: "none",
    } });
  } catch (error) {
    if (["NotSupportedError", "ConstraintError", "SecurityError", "TypeError"].includes(error.name)) return null;
    throw new Failure("unverified", "Nothing was confirmed, so nothing was added. Try again, and confirm with your fingerprint, face or screen lock.");
  }
  const { clientDataJSON, attestationObject } = credential.response;
  return {
    id: base64url(credential.rawId), thumbprint: await thumbprintOf(credential.response.getPublicKey()),
    registration: { client_data_json: base64url(clientDataJSON), attestation_object: base64url(attestationObject) },
  };
}

/** The thumbprint of a public key in SPKI: on P-256, or Ed25519, whose last 32 bytes are the key (RFC 8410). */
async function thumbprintOf(spki) {
  const bytes = new Uint8Array(spki);
  if (bytes.length === 44) return hash(`{"crv":"Ed25519","kty":"OKP","x":"${base64url(bytes.slice(12))}"}`);
  const key = await crypto.subtle.importKey("spki", spki, { name: "ECDSA", namedCurve: "P-256" }, true, ["verify"]);
  return thumbprint(await crypto.subtle.exportKey("jwk", key));
}

/** Has the owner confirm a signed answer; rejects with a Failure when they did not. */
export async function confirm(id, signed) {
  try {
    const { response } = await navigator.credentials.get({ publicKey: {
      challenge: await digest(signed), allowCredentials: [{ type: "public-key", id: bytesOf(id), transports: ["internal"] }], userVerification: "required",
    } });
    return {
      authenticator_data: base64url(response.authenticatorData), client_data_json: base64url(response.clientDataJSON),
      signature: base64url(response.signature),
    };
  } catch {
    throw new Failure("unverified", "Nothing was sent: it was not confirmed that it is you. Try again. If this phone has lost the passkey of the account, remove the account here and add it again.");
  }
}
