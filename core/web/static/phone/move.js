// Moving an account to a new phone: the old one offers it, the new one takes the offer, and the old one says that it is the
// right one. Then both are good for a while, and the old one is removed.
//
//	begin ─▶ offered: a QR code ─▶ arrived: compare, confirm ─▶ approved
//	             └──────────────────────┴─▶ given up
import { h, icon } from "../flow/dom.js";
import { pause } from "../flow/api.js";
import { grouped } from "./add.js";
import { announce, busy, button, go, isBusy, trouble } from "./screen.js";
import { call } from "./server.js";
import { confirm } from "./verify.js";
import { fingerprint, signEndorsement } from "./wire.js";
import * as store from "./store.js";

export async function move({ show, signal, with: device }) {
  const account = await store.account(device);
  if (!account) return go("home", { instead: true });
  const wrong = trouble();
  const back = { back: "Back" };

  /** A button that calls the server; what goes wrong is said beside it. */
  function acting(text, act, kind) {
    const element = button(text, async () => {
      if (isBusy(element)) return;
      wrong.textContent = "";
      busy(element, true);
      try {
        await act();
      } catch (failure) {
        if (!signal.aborted && failure.name !== "AbortError") wrong.textContent = failure.message;
      }
      busy(element, false);
    }, kind);
    return element;
  }

  async function step(stands, text) {
    const next = { offered, arrived, approved }[stands.state];
    if (next) return next(stands);
    show("Move to a new phone", [
      text && h("p", { class: "notice", text }),
      h("p", { text: "Your new phone gets a key of its own, and you confirm here that it is yours. Nothing changes before that." }),
      h("p", { text: "Keep both phones at hand. It takes a minute." }),
      wrong,
      acting("Begin", async () => step(await call(account, "POST", "transfer", {})), "primary"),
    ], back);
  }

  async function offered({ link, code, qr_link: picture, expires }) {
    if (!link) return step({}, "A move was begun and not finished. Begin it anew.");
    show("Scan this with the new phone", [
      picture?.startsWith("data:image/") && h("img", { class: "code-picture", src: picture, alt: "QR code for the camera of your new phone" }),
      h("p", { text: "Point the new phone’s camera at it and open the link. It works once, for ten minutes." }),
      h("p", { class: "state", role: "status", text: "Waiting for the new phone…" }),
      h("details", {}, h("summary", { text: "No camera? Type a code" }),
        h("p", {}, "On the new phone, open ", h("strong", { text: link.split("#")[0].replace(/^https?:\/\//, "") }), " and type:"),
        h("p", { class: "key mono", text: code })),
      wrong, acting("Give up", giveUp),
    ], back);
    while (!signal.aborted) {
      const began = performance.now();
      try {
        const stands = await call(account, "GET", "transfer", undefined, { query: "?wait=25", signal });
        if (stands.state !== "offered") return step(stands, stands.state === "none" && "It took too long, or was given up. Begin anew.");
        if (Date.parse(expires) < Date.now() - 60000) return step({}, "It took too long. Begin anew.");
      } catch (failure) {
        if (failure.name === "AbortError") return;
        wrong.textContent = failure.message;
      }
      await pause(1000 - (performance.now() - began), signal);
    }
  }

  async function arrived({ device: other, name, possession, user_verification: verification = "", token_hash: tokenHash, salt }) {
    // Made here of the keys that are about to be vouched for, and not taken from anybody.
    const digits = await fingerprint({ device: other, tokenHash, possession, verification, serverKey: account.serverKey, salt });
    show("Is this your new phone?", [
      h("p", {}, h("strong", { text: name }), " wants to take the place of this phone. It has to show this number:"),
      h("p", { class: "shown digits", "aria-label": [...digits].join(" "), text: grouped(digits) }),
      wrong,
      acting("Yes, it shows the same", async () => {
        const endorsement = await signEndorsement(account.key, account, { device: other, possession, verification });
        const owner = account.passkey ? { user_verification: await confirm(account.passkey, endorsement) } : {};
        await step(await call(account, "POST", "approve_transfer", { endorsement, at_first_use: true, ...owner }));
      }, "primary"),
      acting("No, give up", giveUp, "danger"),
    ]);
    announce(`Compare this number: ${[...digits].join(" ")}.`);
  }

  async function giveUp() {
    await call(account, "DELETE", "transfer");
    await step({}, "It was given up. Nothing has changed.");
  }

  function approved({ name, expires }) {
    const until = expires ? ` It goes at the latest ${new Date(expires).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}.` : "";
    show("Your new phone is ready", [
      h("div", { class: "sign tick" }, icon("tick")),
      h("p", { class: "lead", text: `${name || "The new phone"} can approve sign-ins now. This phone is taken off your account once the new one has approved a sign-in.${until}` }),
      button("Done", () => go("home", { instead: true }), "primary"),
    ]);
  }

  try {
    await step(await call(account, "GET", "transfer", undefined, { signal }));
  } catch (failure) {
    if (failure.name === "AbortError") return;
    if (failure.reason === "over") return show("Move to a new phone", [h("p", { text: "This server cannot do that yet. On your computer, add the new phone to your account, then remove this one." })], back);
    show("Move to a new phone", [h("p", { class: "notice bad", role: "alert", text: failure.message }), button("Try again", () => move({ show, signal, with: device }), "primary")], back);
  }
}
