// The password of the person whom the stage before found.
import { h, link } from "../flow/dom.js";
import { form, field } from "../flow/form.js";

export default function render({ challenge, root, submit, heading }) {
  heading("Enter your password");
  const password = field({ name: "password", label: "Password", type: "password",
    attributes: { required: true, autocomplete: "current-password" } });
  const caps = h("p", { class: "hint", role: "status" });
  password.element.append(caps);
  password.input.addEventListener("keyup", (event) => {
    const on = event.getModifierState?.("CapsLock") ?? false;
    caps.textContent = on ? "Caps Lock is on." : "";
  });
  // Password managers look for the name beside the password.
  const name = h("input", { class: "sr", type: "text", name: "username", autocomplete: "username",
    value: challenge.pending_user, readonly: true, tabindex: "-1", "aria-hidden": "true" });
  const page = form({ fields: { password }, action: "Continue", send: submit });
  page.element.prepend(name);
  const recovery = link(challenge.recovery_url, "Forgot your password?");
  root.append(page.element, ...(recovery ? [h("ul", { class: "links" }, h("li", {}, recovery))] : []));
  page.errors(challenge.response_errors);
  return { focus: page.focus, update: (c) => page.errors(c.response_errors) };
}
