// Adding an account: by the link behind a QR code, with the camera, or by a code that is typed or pasted.
import { h, icon } from "../flow/dom.js";
import { field } from "../flow/form.js";
import { pause } from "../flow/api.js";
import { announce, busy, button, go, isBusy, trouble } from "./screen.js";
import { enrol, family, phoneName } from "./account.js";
import { bell, installed } from "./advice.js";
import { ringing, tellAll } from "./push.js";
import { camera } from "./camera.js";
import { call, plain } from "./server.js";
import { payload, shortCode } from "./wire.js";
import { able } from "./verify.js";
import * as store from "./store.js";
import * as watch from "./watch.js";

let offered; // by the last code: {server, code} or {server, device, token}; not in the history, which the browser writes down

/** Takes a text that was scanned, typed, pasted, or came with the link; gives why it is no code, "" if it is one. */
export function offer(text) {
  const short = shortCode(text);
  if (short) offered = { ...short, server: short.server || `${location.origin}/` };
  else {
    try {
      offered = payload(text);
    } catch {
      return "This is no code of ours. Look at it again, or show a new one on your computer.";
    }
  }
  return "";
}

/** How to add one: the camera where this browser can read codes, and always by hand. */
export function choose({ show, signal }) {
  const wrong = trouble();
  const code = field({
    name: "code", label: camera() ? "Or type the code" : "Type the code", hint: "Ten letters and digits, as 7KQ2-M9XW-4C.",
    attributes: { autocomplete: "off", autocapitalize: "characters", class: "code" },
  });
  const take = (event) => {
    event.preventDefault();
    code.error(null);
    const text = code.input.value.trim();
    const complaint = text ? offer(text) : "Type the code first.";
    if (!complaint) return go("enrol");
    code.error(complaint);
    code.input.focus();
  };
  show("Add an account", [
    h("ol", { class: "steps" },
      h("li", { text: "On your computer, sign in and open your account." }),
      h("li", { text: "Choose to add a phone. A code is shown." }),
      h("li", { text: camera() ? "Scan it here." : "Point this phone’s camera app at it and open the link, or type the code here." })),
    camera() && button("Scan the code", () => go("scan"), "primary"),
    h("form", { novalidate: true, class: "gap", on: { submit: take } }, code.element, wrong,
      h("button", { type: "submit", class: camera() ? "button full" : "button full primary", text: "Go on" })),
  ], { back: "Back" });
  signal.addEventListener("abort", () => (code.input.value = ""));
}

/** The last question before an account is added. */
export async function confirm({ show, signal }) {
  if (!offered) return go("add", { instead: true });
  if (offered.server !== `${location.origin}/`) return elsewhere(show, offered.server);
  if (uninstalled() && offered.code && !confirm.anyway) return install(show, signal);
  confirm.anyway = false;
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
      if (offered.code) offered = await redeem(offered.code); // works once, so that what it gave is kept for another try
      const account = await enrol(offered, { name: names.input.value.trim() || location.host, phone: phone.input.value.trim() || (await phoneName()), owner });
      offered = undefined;
      await store.persist();
      await watch.start();
      go("added", { with: account.device, instead: true });
    } catch (failure) {
      wrong.textContent = ["gone", "over"].includes(failure.reason) ? "This code is over or was used. Show a new one on your computer." : failure.message;
      busy(add, false);
    }
  }, "primary");
  show("Add this account?", [
    h("p", {}, "Sign-ins at ", h("strong", { text: location.host }), " will ask this phone. Go on only if you asked for the code yourself."),
    h("p", { text: owner ? "This phone then checks that it is you, by your fingerprint, face or screen lock, now and for each approval. It may call that a passkey."
      : "This phone cannot check your fingerprint here: whoever can unlock it can approve." }),
    add, wrong,
    h("details", {}, h("summary", { text: "Names" }), names.element, phone.element),
  ], { back: "Cancel" });
}

const redeem = async (code) => payload(JSON.stringify(await plain("POST", "redeem", { code })));

/** Whether this is a browser whose home screen keeps its own things: what is added here would not be there. */
const uninstalled = () => family() === "ios" && !installed();

/** On an iPhone: to the home screen first, since only from there it can ring, and since it keeps its own accounts. */
function install(show, signal) {
  const said = h("span", { class: "fine", role: "status" });
  const { code } = offered;
  const copy = button("Copy the code", async () => {
    said.textContent = await navigator.clipboard.writeText(code).then(() => "Copied.", () => "Copy it by hand.");
  }, "primary");
  show("First, to your Home Screen", [
    h("p", { text: "From there it can ring you, and your iPhone keeps what belongs to it." }),
    h("ol", { class: "steps" },
      h("li", { text: "Copy this code." }), h("li", { text: "Tap Share in Safari, then “Add to Home Screen”." }),
      h("li", { text: "Open it there, choose to add your account, and paste the code." })),
    h("p", { class: "key mono", text: code }), copy, said,
    button("Go on here, without being rung", () => ((confirm.anyway = true), confirm({ show, signal }))),
  ], { back: "Cancel" });
}

function elsewhere(show, server) {
  show("A code of another server", [
    h("p", {}, "This code is for ", h("strong", { text: new URL(server).host }), ". Each server has its own page for this."),
    h("p", {}, h("a", { class: "button full primary", href: new URL("if/phone/", server).href, rel: "noreferrer", text: "Open its page" })),
    h("p", { class: "fine", text: "Put the code in there again." }),
  ], { back: "Back" });
}

/** The account is there; now is the time to ask whether it may ring. */
export async function added({ show, signal, with: device }) {
  const account = await store.account(device);
  if (!account) return go("home", { instead: true });
  if (account.unconfirmed) return compare({ show, signal }, account);
  const done = button("Done", () => go("home", { instead: true }));
  const asks = (await ringing()) === "ask";
  if (!asks) done.classList.add("primary");
  show("Your phone is ready", [
    h("div", { class: "sign tick" }, icon("tick")),
    h("p", { class: "lead", text: `From now on it can approve sign-ins to ${account.name}. Your computer goes on by itself.` }),
    ...(asks ? [await bell(() => go("home", { instead: true })), done] : [done]),
  ]);
}

/** Until somebody has said at the other screen that it is this phone. */
async function compare({ show, signal }, account) {
  const state = h("p", { class: "state", role: "status", text: "Waiting for your word there…" });
  const say = (text) => state.textContent !== text && (state.textContent = text);
  show("Compare this number", [
    h("p", { class: "shown digits", "aria-label": [...account.unconfirmed].join(" "), text: grouped(account.unconfirmed) }),
    h("p", { text: "Your computer, or your old phone, shows a number as well. If it is the same, confirm it there: then it is this phone, and no other, that is added." }),
    state,
    button("It is another number", () => refuse("Nothing was added. Somebody else may have used your code: show a new one.")),
  ]);
  announce(`Compare this number: ${[...account.unconfirmed].join(" ")}.`);

  async function refuse(text) {
    await store.forget(account.device);
    if (signal.aborted) return;
    show("Not added", [h("div", { class: "sign bad" }, icon("cross")), h("p", { class: "lead", text }),
      button("Add an account", () => go("add", { instead: true }), "primary")], { back: "Back" });
  }

  while (!signal.aborted) {
    const began = performance.now();
    try {
      const { status } = await call(account, "POST", "enrollment_status", undefined, { query: "?wait=25", signal });
      if (status === "success") {
        await store.change(account.device, { unconfirmed: undefined });
        await watch.start();
        tellAll().catch(() => {});
        if (!signal.aborted) go("added", { with: account.device, instead: true });
        return;
      }
      say("Waiting for your word there…");
    } catch (failure) {
      if (failure.name === "AbortError") return;
      if (["gone", "over"].includes(failure.reason)) return refuse("It was not confirmed in time, or was refused. Show a new code and try again.");
      say(failure.message);
    }
    await pause(1000 - (performance.now() - began), signal);
  }
}

/** Nine digits in three groups, for reading. */
export const grouped = (digits) => digits.match(/.{3}/g).join(" ");
