// Adding a phone: a QR code for the app, and the wait until the phone has called in.
import { h, icon } from "../flow/dom.js";
import { api, pause } from "../flow/api.js";

const pace = 2000; // ms between two questions to the server at the least
const hold = 25; // s for which the server may hold an answer back
const cheer = 1200; // ms for which the success is shown before the flow goes on

export default function render({ challenge, root, signal, submit, heading, announce, now }) {
  const code = JSON.stringify(challenge.payload);
  heading("Add your phone");
  const state = h("p", { class: "state", role: "status", text: "Waiting for your phone…" });
  const error = h("p", { class: "notice bad", role: "alert" });
  const safeImage = challenge.qr_code?.startsWith("data:image/svg+xml") || challenge.qr_code?.startsWith("data:image/png");

  root.append(
    h("ol", { class: "steps" },
      h("li", { text: "On your phone, open the app that approves your sign-ins. If you have none, ask your administrator which one it is." }),
      h("li", { text: "Choose to add an account there." }),
      h("li", { text: safeImage ? "Point its camera at this code." : "Copy the code below into it." })),
    ...(safeImage ? [h("div", { class: "qr" }, h("img", { src: challenge.qr_code, alt: "QR code to add this account to the app" }))] : []),
    state, error,
    ...(appLink(challenge.link) ? [h("p", { class: "actions on-phone" },
      h("a", { href: challenge.link, class: "button full", text: "Open the app on this phone" }))] : []),
    copyable(code, !safeImage),
    h("ul", { class: "links" }, h("li", {}, h("a", { href: "/", text: "Cancel" }))));

  async function watch() {
    const path = `/authenticators/mobile/${encodeURIComponent(challenge.payload.s)}/enrollment_status/?wait=${hold}`;
    const end = Date.parse(challenge.expires ?? "") || Infinity;
    while (!signal.aborted) {
      if (now() > end) return expired();
      const began = performance.now();
      try {
        if (!document.hidden) {
          const { status } = await api("POST", path, null, signal);
          if (status === "success") return done();
          say("Waiting for your phone…");
        }
      } catch (failure) {
        if (signal.aborted) return;
        if (failure.status === 403 || failure.status === 404) return expired();
        say("The server cannot be reached. Trying again…");
      }
      await pause(pace - (performance.now() - began), signal);
      if (document.hidden) await visible(signal);
    }
  }

  // A status region is read out when it changes, so it only does when there is something new.
  function say(text) {
    if (state.textContent !== text) state.textContent = text;
  }

  async function done() {
    heading("Your phone is ready", true);
    announce("Your phone was added.");
    root.replaceChildren(h("div", { class: "done" }, icon("tick"), h("p", { text: "From now on it can approve your sign-ins." })), error);
    await pause(cheer, signal);
    const stays = await submit({}, { quiet: true });
    if (stays) root.append(h("p", {}, h("button", { type: "button", class: "button primary full", text: "Continue", on: { click: () => submit({}) } })));
  }

  function expired() {
    heading("This code is over", true);
    root.replaceChildren(h("p", { text: "A code works once and for a short time. Nothing was added." }),
      h("p", {}, h("button", { type: "button", class: "button primary full", text: "Show a new code", on: { click: () => location.reload() } })));
    announce("This code is over.");
  }

  watch();
  return {
    update: (c) => (error.textContent = Object.values(c.response_errors ?? {}).flat().map((e) => e.string).join(" ")),
  };
}

function copyable(code, open) {
  const text = h("textarea", { class: "mono", readonly: true, "aria-label": "Code", rows: "4" });
  text.value = code;
  const said = h("span", { class: "fine", role: "status" });
  const copy = async () => {
    text.select();
    try {
      await navigator.clipboard.writeText(code);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "It is selected: copy it by hand.";
    }
  };
  return h("details", { open }, h("summary", { text: "Can’t scan? Copy the code" }), text,
    h("p", { class: "actions" }, h("button", { type: "button", class: "button", text: "Copy", on: { click: copy } }), said));
}

/** Whether value is a link into an app: https, or a scheme of the app's own, but none that the browser would run. */
function appLink(value) {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(value ?? "")?.[1].toLowerCase();
  return scheme && !["javascript", "data", "vbscript", "blob", "file", "about"].includes(scheme);
}

/** Resolves when the page is looked at again. */
function visible(signal) {
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
}
