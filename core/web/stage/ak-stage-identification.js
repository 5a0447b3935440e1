// Who is it? A name, and the password too where the stage asks for both.
import { h, link, safeURL } from "../flow/dom.js";
import { form, field } from "../flow/form.js";
import { autofill } from "../flow/autofill.js";

const words = { username: "Username", email: "E-mail", upn: "User principal name" };

export default function render({ challenge, root, submit, signal }) {
  const kinds = challenge.user_fields ?? [];
  const texts = kinds.map((k, i) => (i ? words[k]?.toLowerCase() : words[k]) ?? k);
  const label = texts.length > 1 ? `${texts.slice(0, -1).join(", ")} or ${texts.at(-1)}` : texts[0];

  if (challenge.application_pre) {
    root.append(h("p", {}, "To go on to ", h("strong", { text: challenge.application_pre }), "."));
  }
  let page = null;
  if (kinds.length) {
    const fields = { uid_field: field({ name: "uid_field", label, attributes: {
      required: true, autocomplete: "username", inputmode: kinds.join() === "email" ? "email" : "text",
    } }) };
    if (challenge.password_fields) {
      fields.password = field({ name: "password", label: "Password", type: "password",
        attributes: { required: true, autocomplete: "current-password" } });
    }
    page = form({ fields, action: challenge.primary_action || "Continue", send: submit });
    root.append(page.element);
    autofill({ url: challenge.passwordless_url, input: fields.uid_field.input, signal,
      error: (string) => page.errors({ uid_field: [{ string }] }) });
  }

  // Sources with a challenge of another kind need a script of their own; they bring their own page.
  const sources = (challenge.sources ?? []).filter((s) => s.challenge?.to && safeURL(s.challenge.to));
  if (sources.length) {
    if (page) root.append(h("p", { class: "rule", text: "or" }));
    root.append(h("div", { class: "stack" }, sources.map((s) => link(s.challenge.to, `Continue with ${s.name}`, { class: "button full" }))));
  }

  const links = [
    link(challenge.passwordless_url, "Sign in with a passkey"),
    link(challenge.recovery_url, "Forgot your password?"),
    link(challenge.enroll_url, "Sign up"),
  ].filter(Boolean);
  if (links.length) root.append(h("ul", { class: "links" }, links.map((l) => h("li", {}, l))));

  page?.errors(challenge.response_errors);
  return page && { focus: page.focus, update: (c) => page.errors(c.response_errors) };
}
