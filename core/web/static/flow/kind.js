// The kinds of authenticators, in words for people who have never heard of them.

// another: what one more is called. unnamed: what the server calls a device whose owner gave it no name.
const kinds = {
  mobile: { name: "Phone app", another: "Another phone", hint: "Your phone asks you, and you approve with a tap.", icon: "phone" },
  webauthn: { name: "Passkey or security key", another: "Another passkey or security key", hint: "Your fingerprint, your face, a PIN or a key that you plug in. Nothing to type.", icon: "key", unnamed: "WebAuthn Device" },
  totp: { name: "Authenticator app (one-time codes)", another: "Another authenticator app", hint: "An app on your phone shows a code that you type. Works without a network.", icon: "clock", unnamed: "TOTP Authenticator" },
  static: { name: "Recovery codes", another: "New recovery codes", hint: "Codes to print or save. They let you in when your phone is lost or broken.", icon: "list", unnamed: "Static Token" },
  sms: { name: "Text message", another: "Another number for text messages", hint: "We send a code to your phone number.", icon: "message", unnamed: "SMS Device" },
  duo: { name: "Duo", another: "Another Duo account", hint: "You approve in the Duo Mobile app, if your organisation uses it.", icon: "shield", unnamed: "Duo Authenticator" },
};

/** The classes of the kinds that have words here, in the order in which they are offered. */
export const classes = Object.keys(kinds);

/** {name, another, hint, icon} of a class; of one that this build does not know, with the given name. */
export const kind = (name, other) => kinds[name] ?? { name: other, another: other, hint: "", icon: "shield" };

/** The class in a model's name, "authentik_stages_authenticator_totp.TOTPDevice"; "" if there is none. */
export const classOf = (model) => /_authenticator_([a-z0-9]+)\./.exec(model ?? "")?.[1] ?? "";

/** The name that a device's owner gave it, or null where it only has the server's. */
export const given = (name, deviceName) => (deviceName && deviceName !== kinds[name]?.unnamed ? deviceName : null);
