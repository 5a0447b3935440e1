// The browser's side of passkeys: options and credentials as JSON, and what to tell a person when it does not work.

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const named = (list) => (list ?? []).map((c) => ({ ...c, id: bytes(c.id) }));

/** Why passkeys cannot be used on this page at all; "" if they can. */
export function hindrance() {
  if (!window.isSecureContext) return "Passkeys need a secure connection. Open this page with https:// in front of its address.";
  if (!window.PublicKeyCredential || !navigator.credentials) return "This browser does not know passkeys. Use a newer one, or another way.";
  return "";
}

// The browsers' own parse…FromJSON and toJSON are missing in older ones and broken by some password managers.

/** Makes a passkey. options: PublicKeyCredentialCreationOptionsJSON; resolves to RegistrationResponseJSON. */
export async function create(options, signal) {
  const credential = await navigator.credentials.create({ signal, publicKey: {
    ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: named(options.excludeCredentials),
  } });
  const { clientDataJSON, attestationObject } = credential.response;
  return json(credential, {
    clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject),
    transports: credential.response.getTransports?.() ?? [],
  });
}

/** Uses a passkey. options: PublicKeyCredentialRequestOptionsJSON; resolves to AuthenticationResponseJSON. */
export async function get(options, signal, mediation) {
  const credential = await navigator.credentials.get({ signal, mediation, publicKey: {
    ...options, challenge: bytes(options.challenge), allowCredentials: named(options.allowCredentials),
  } });
  const { clientDataJSON, authenticatorData, signature, userHandle } = credential.response;
  return json(credential, {
    clientDataJSON: text(clientDataJSON), authenticatorData: text(authenticatorData), signature: text(signature),
    ...(userHandle ? { userHandle: text(userHandle) } : {}),
  });
}

function json(credential, response) {
  return {
    id: credential.id, rawId: text(credential.rawId), type: credential.type, response,
    authenticatorAttachment: credential.authenticatorAttachment ?? undefined, clientExtensionResults: {},
  };
}

const reasons = {
  NotAllowedError: "Nothing was confirmed: it was cancelled, it took too long, or there is no passkey here that fits.",
  InvalidStateError: "This device has a passkey for your account already. Use another device, or cancel.",
  ConstraintError: "This device cannot check that it is you. Set up a PIN, a fingerprint or a face on it, or use another one.",
  NotSupportedError: "This device cannot make the kind of passkey that is asked for. Use another one.",
  SecurityError: "Passkeys do not work at this address. Open the page by its usual name, not by a number.",
  TypeError: "Passkeys do not work at this address. Open the page by its usual name, not by a number.",
};

/** What to tell a person about a failure of create or get; "" where they left the page themselves. */
export function explain(error) {
  if (error.name === "AbortError") return "";
  return reasons[error.name] ?? "The device did not answer as it should. Try again, or use another one.";
}

/** The server's complaints about a field, as one text. Where there is a reason, the general "Assertion failed" is left out. */
export function complaint(challenge, field) {
  const { [field]: own = [], non_field_errors = [] } = challenge.response_errors ?? {};
  const list = [...own, ...non_field_errors].map((e) => e.string);
  return (list.length > 1 ? list.filter((s) => s !== "Assertion failed") : list).join(" ");
}
