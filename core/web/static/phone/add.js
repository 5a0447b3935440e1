// Adding an account: by the link behind a QR code, with the camera, or by a code that is typed or pasted.
import { h, icon } from "../flow/dom.js";
import { field } from "../flow/form.js";
import { busy, button, go, isBusy, trouble } from "./screen.js";
import { enrol, phoneName } from "./account.js";
import { camera } from "./scan.js";
import { payload } from "./wire.js";
import { able } from "./verify.js";
import * as store from "./store.js";
import * as watch from "./watch.js";

/** How to add one: the camera where this browser can read codes, and always by hand. */
export function choose({ show, signal }) {
  const wrong = trouble();
  const code = h("textarea", { id: "code", class: "mono", rows: "3", autocomplete: "off", autocapitalize: "characters", spellcheck: "false", "aria-describedby": "code-hint" });
  const take = () => {
    wrong.textContent = "";
    const text = code.value.trim();
    if (!text) return (wrong.textContent = "Paste or type the code first."), code.focus();
    const complaint = offer(text);
    if (complaint) return (wrong.textContent = complaint);
    go("enrol");
  };
  show("Add an account", [
    h("ol", { class: "steps" },
      h("li", { text: "On your computer, sign in and open your account." }),
      h("li", { text: "Choose to add a phone. A code is shown." }),
      h("li", { text: camera() ? "Scan it here." : "Point this phone’s camera app at it and open the link, or copy the code below." })),
    camera() && button("Scan the code", () => go("scan"), "primary"),
    h("form", { novalidate: true, on: { submit: (event) => (event.preventDefault(), take()) } },
      h("div", { class: "field gap" }, h("label", { for: "code", text: "Or put the code in by hand" }), code,
        h("p", { class: "hint", id: "code-hint", text: "It stands below the picture, for those who cannot scan it." })),
      wrong,
      h("button", { type: "submit", class: `button full ${camera() ? "" : "primary"}`, text: "Go on" })),
  ], { back: "Back" });
  signal.addEventListener("abort", () => (code.value = ""));
}

let offered; // by the last code; not in the history, which the browser writes down

/** Takes a text that was scanned, typed, pasted, or came with the link; gives why it is no code, "" if it is one. */
export function offer(text) {
  try {
    offered = payload(text);
    return "";
  } catch {
    return "This is no code of ours. Copy all of it, or show a new one on your computer.";
  }
}

/** The last question before an account is added. */
export async function confirm({ show }) {
  const code = offered;
  if (!code) return go("add", { instead: true });
  if (code.server !== `${location.origin}/`) return elsewhere(show, code.server);
  const wrong = trouble();
  const names = field({ name: "account", label: "Name of the account, on this phone", value: document.getElementById("brand").textContent });
  const phone = field({ name: "phone", label: "Name of this phone, in your account", value: await phoneName() });
  for (const f of [names, phone]) f.input.maxLength = 64;
  const owner = await able();
  const add = button("Add this account", async () => {
    if (isBusy(add)) return;
    wrong.textContent = "";
    busy(add, true);
    try {
      const account = await enrol(code, { name: names.input.value.trim() || location.host, phone: phone.input.value.trim() || (await phoneName()), owner });
      offered = undefined;
      await store.persist();
      await watch.start();
      go("added", { with: account.device, instead: true });
    } catch (failure) {
      wrong.textContent = failure.reason === "gone" ? "This code is over or was used. Show a new one on your computer." : failure.message;
      busy(add, false);
    }
  }, "primary");
  show("Add this account?", [
    h("p", {}, "Sign-ins at ", h("strong", { text: new URL(code.server).host }), " will ask this phone. Go on only if you asked for the code yourself."),
    h("p", { text: owner ? "This phone then checks that it is you, by your fingerprint, face or screen lock, now and for each approval. It may call that a passkey."
      : "This phone cannot check your fingerprint here: whoever can unlock it can approve." }),
    add, wrong,
    h("details", {}, h("summary", { text: "Names" }), names.element, phone.element),
  ], { back: "Cancel" });
}

function elsewhere(show, server) {
  show("A code of another server", [
    h("p", {}, "This code is for ", h("strong", { text: new URL(server).host }), ". Each server has its own page for this."),
    h("p", {}, h("a", { class: "button full primary", href: new URL("if/phone/", server).href, rel: "noreferrer", text: "Open its page" })),
    h("p", { class: "fine", text: "Put the code in there again." }),
  ], { back: "Back" });
}

/** The account is there. */
export async function added({ show, with: device }) {
  const account = await store.account(device);
  if (!account) return go("home", { instead: true });
  show("Your phone is ready", [
    h("div", { class: "sign tick" }, icon("tick")),
    h("p", { class: "lead", text: `From now on it can approve sign-ins to ${account.name}. Your computer goes on by itself.` }),
    button("Done", () => go("home", { instead: true }), "primary"),
  ]);
}
