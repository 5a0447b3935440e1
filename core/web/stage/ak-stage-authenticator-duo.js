// Adding Duo: a QR code for the Duo app, and the wait until Duo says that it was scanned.
import { h, icon } from "../flow/dom.js";
import { api, pause } from "../flow/api.js";
import { copyButton } from "../flow/copy.js";

const pace = 3000; // ms between two questions to the server
const cheer = 1200; // ms for which the success is shown before the flow goes on

export default function render({ challenge, root, signal, submit, heading, announce }) {
  heading("Add Duo");
  const state = h("p", { class: "state", role: "status", text: "Waiting for the Duo app…" });
  const error = h("p", { class: "notice bad", role: "alert" });
  const image = challenge.qr_code?.startsWith("data:image/svg+xml") ? challenge.qr_code : null;
  const link = /^(duo:|https:)\/\//i.test(challenge.activation_code) ? challenge.activation_code : null;

  root.append(
    h("ol", { class: "steps" },
      h("li", { text: "Install Duo Mobile on your phone and open it." }),
      h("li", { text: "Choose to add an account there, with a QR code." }),
      h("li", { text: image ? "Point its camera at this code." : "Copy the code below into it." })),
    ...(image ? [h("div", { class: "qr" }, h("img", { src: image, alt: "QR code to add this account to Duo Mobile" }))] : []),
    state, error,
    ...(link ? [h("p", { class: "actions on-phone" }, h("a", { href: link, class: "button full", text: "Open Duo Mobile on this phone" }))] : []),
    h("details", { open: !image }, h("summary", { text: "Can’t scan? Copy the code" }),
      h("p", { class: "key mono", text: challenge.activation_code }), copyButton("Copy the code", () => challenge.activation_code)),
    h("ul", { class: "links" }, h("li", {}, h("a", { href: "/", text: "Cancel" }))));

  async function watch() {
    const path = `/stages/authenticator/duo/${encodeURIComponent(challenge.stage_uuid)}/enrollment_status/`;
    while (!signal.aborted) {
      await pause(pace, signal);
      if (document.hidden) await visible(signal);
      if (signal.aborted) return;
      try {
        const { duo_response: status } = await api("POST", path, null, signal);
        if (status === "success") return done();
        if (status === "invalid") return over();
        say("Waiting for the Duo app…");
      } catch (failure) {
        if (signal.aborted) return;
        if ([400, 403, 404].includes(failure.status)) return over();
        say(failure.status === 503 ? "Duo cannot be reached. Trying again…" : "The server cannot be reached. Trying again…");
      }
    }
  }

  // A status region is read out when it changes, so it only does when there is something new.
  function say(text) {
    if (state.textContent !== text) state.textContent = text;
  }

  async function done() {
    heading("Duo is ready", true);
    announce("Duo was added.");
    root.replaceChildren(h("div", { class: "done" }, icon("tick"), h("p", { text: "From now on Duo can approve your sign-ins." })), error);
    await pause(cheer, signal);
    const stays = await submit({}, { quiet: true });
    if (stays) root.append(h("p", {}, h("button", { type: "button", class: "button primary full", text: "Continue", on: { click: () => submit({}) } })));
  }

  function over() {
    heading("This code is over", true);
    root.replaceChildren(h("p", { text: "Nothing was added. Begin again, or ask your administrator." }),
      h("p", {}, h("button", { type: "button", class: "button primary full", text: "Begin again", on: { click: () => location.reload() } })));
    announce("This code is over.");
  }

  watch();
  return {
    update: (c) => (error.textContent = Object.values(c.response_errors ?? {}).flat().map((e) => e.string).join(" ")),
  };
}

/** Resolves when the page is looked at again. */
function visible(signal) {
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
}
