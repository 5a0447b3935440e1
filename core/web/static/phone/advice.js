// What would make this phone work better, one thing at a time, the most useful first.
import { h, icon } from "../flow/dom.js";
import { family } from "./account.js";
import { busy, button, isBusy, trouble } from "./screen.js";
import { ringing, turnOn } from "./push.js";

/** Whether the page was opened from the home screen. */
export const installed = () => navigator.standalone === true || matchMedia("(display-mode: standalone)").matches;

/** The question whether the phone may ring, with a button; done is called when it is settled. */
export async function bell(done) {
  const wrong = trouble();
  const on = button("Ring me", async () => {
    if (isBusy(on)) return;
    busy(on, true);
    wrong.textContent = "";
    try {
      const state = await turnOn();
      if (state === "on") return done();
      wrong.textContent = state === "denied" ? "Your browser does not allow it. You can change that in its settings for this site."
        : "Nothing was changed. You can turn it on at any time.";
    } catch {
      wrong.textContent = "That did not work: your browser could not reach its push service. Open this page when you sign in; it asks by itself then.";
    }
    busy(on, false);
  }, "primary");
  return h("div", { class: "advice" }, icon("bell"), h("div", {}, h("h2", { text: "Be rung when you sign in" }),
    h("p", { text: "Your phone then shows a notification, also while this page is closed. It says nothing about you." })), on, wrong);
}

/** A notice with what to do next; null when nothing is left. again: shows the screen anew. */
export async function advice(again) {
  const state = await ringing().catch(() => "unsupported");
  if (state === "ask") return bell(again);
  if (state === "denied") {
    return h("p", { class: "notice", text: "Notifications are off for this site, so you are not rung. Open this page when you sign in, or allow them in your browser’s settings." });
  }
  if (state === "unsupported" && family() === "ios" && !installed()) {
    return h("p", { class: "notice", text: "An iPhone rings only for pages on the Home Screen. Tap Share, then “Add to Home Screen”, and add your account there anew." });
  }
  if (state === "unsupported") return h("p", { class: "fine gap", text: "Open this page when you sign in: it then shows the request at once. This phone is not rung for it." });
  return null;
}
