// Stay signed in?
import { h } from "../flow/dom.js";

export default function render({ root, submit, heading }) {
  heading("Stay signed in?");
  const error = h("p", { class: "notice bad", role: "alert" });
  const yes = h("button", { type: "button", class: "button primary full", text: "Yes, stay signed in",
    on: { click: () => submit({ remember_me: true }) } });
  const no = h("button", { type: "button", class: "button full", text: "No",
    on: { click: () => submit({ remember_me: false }) } });
  root.append(h("p", { text: "You will be asked less often on this device. Choose no on one that is not yours." }),
    error, h("div", { class: "stack" }, yes, no));
  return {
    focus: () => yes.focus(),
    update: (c) => (error.textContent = Object.values(c.response_errors ?? {}).flat().map((e) => e.string).join(" ")),
  };
}
