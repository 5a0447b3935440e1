// The flow ended: not let in.
import { h, icon } from "../flow/dom.js";

export default function render({ challenge, root, heading, announce }) {
  heading("You were not let in");
  const known = challenge.error_message && challenge.error_message !== "Unknown error";
  const text = known ? challenge.error_message : "The sign-in was refused.";
  root.append(h("div", { class: "ask" },
    h("div", { class: "dial bad" }, icon("cross")),
    h("p", { class: "lead", text }),
    h("p", { class: "actions" }, h("button", { type: "button", class: "button primary", text: "Start again",
      on: { click: () => location.reload() } }))));
  announce(text);
}
