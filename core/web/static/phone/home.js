// The first screen: whether anything waits, the accounts, and what this phone still lacks.
import { h, icon } from "../flow/dom.js";
import { busy, button, go, isBusy } from "./screen.js";
import { advice } from "./advice.js";
import * as store from "./store.js";
import * as watch from "./watch.js";

export async function home({ show, signal }) {
  let accounts;
  try {
    accounts = await store.accounts();
  } catch {
    return show("Nothing can be kept here", [h("p", { text: "This browser keeps nothing for this page. Open it in a normal window, not a private one, or use another browser." })]);
  }
  if (!accounts.length) return welcome(show);

  const state = h("p", { class: "state", role: "status", text: "Looking for requests…" });
  const check = button("Check for requests", async () => {
    if (busy(check, !isBusy(check))) {
      say("Looking for requests…");
      await watch.look().catch(() => {});
      busy(check, false);
      tell();
    }
  }, "primary");
  const say = (text) => state.textContent !== text && (state.textContent = text);
  const tell = () => {
    const failure = accounts.map((a) => watch.trouble(a.device)).find((f) => f && f.reason !== "gone");
    say(failure ? failure.message : `Nothing waits. Last looked at ${new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}.`);
    state.classList.toggle("idle", !failure);
    for (const [device, note] of notes) note.textContent = about(device);
  };
  const notes = new Map();
  const about = (device) => {
    const a = accounts.find((one) => one.device === device);
    if (a.unconfirmed) return "Not confirmed yet: see what to compare.";
    if (a.gone || watch.trouble(device)?.reason === "gone") return "Removed on the server. Sign-ins do not ask here any more.";
    return watch.trouble(device)?.reason === "forged" ? watch.trouble(device).message : new URL(a.server).host;
  };

  const rows = accounts.map((a) => {
    const note = h("small");
    notes.set(a.device, note);
    note.textContent = about(a.device);
    return h("li", {}, h("button", { type: "button", class: "choice", on: { click: () => go(a.unconfirmed ? "added" : "account", { with: a.device }) } },
      icon(a.gone ? "cross" : "shield"), h("span", {}, h("strong", { text: a.name }), note)));
  });
  const hint = h("div"); // filled when the browser and the server have said what they can
  advice(() => home({ show, signal })).then((found) => found && hint.append(found)).catch(() => {});
  show("Your authenticator", [
    state, check,
    h("h2", { class: "gap", text: accounts.length > 1 ? "Accounts" : "Account" }),
    h("ul", { class: "choices" }, rows),
    h("p", { class: "actions" },
      button("Add an account", () => go("add")),
      button("What was asked", () => go("history"))),
    hint, // last, since it comes late, and what is on the page is not to move under a finger
  ]);
  watch.changes.addEventListener("change", tell, { signal });
  await watch.look().catch(() => {});
  if (!signal.aborted) tell();
}

function welcome(show) {
  show("Approve sign-ins with this phone", [
    h("div", { class: "hero" }, icon("phone")),
    h("p", { text: "When you sign in on a computer, this phone asks whether it is you. You need no app: this page is it." }),
    button("Add your account", () => go("add"), "primary"),
    h("details", {}, h("summary", { text: "Were your accounts here before?" }),
      h("p", { text: "A browser may clear what a page has kept, for example when its data is deleted, or after a long time without a visit. Nobody can bring that back, and nobody else got it." }),
      h("p", { text: "Sign in with another way, such as a recovery code, and add this phone again. If you have no other way, ask your administrator." })),
  ]);
}
