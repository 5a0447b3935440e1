// Adding a passkey: what it is, a button, and what went wrong.
import { h, icon } from "../flow/dom.js";
import { hindrance, create, explain, complaint } from "../flow/passkey.js";

export default function render(ctx) {
  let { registration } = ctx.challenge;
  const where = {
    platform: "It stays on this device.",
    "cross-platform": "Have your security key or your phone at hand.",
  }[registration.authenticatorSelection?.authenticatorAttachment] ?? "It stays on this device, on a security key or in your password manager.";
  const trouble = h("p", { class: "notice bad", role: "alert" });
  const state = h("p", { class: "lead", text: "With a passkey you sign in by fingerprint, face, PIN or security key. There is nothing to remember, and nobody can trick you out of it." });
  const button = h("button", { type: "button", class: "button primary", text: "Create a passkey", on: { click: add } });
  ctx.heading("Add a passkey");
  ctx.root.append(
    h("div", { class: "ask" }, h("div", { class: "dial over" }, icon("key")), state, h("p", { class: "fine", text: where }), trouble,
      h("p", { class: "actions" }, button)),
    h("ul", { class: "links" }, h("li", {}, h("a", { href: "/", text: "Cancel" }))));
  let adding = false;

  async function add() {
    if (adding) return;
    const problem = hindrance();
    if (problem) return failed(problem);
    adding = true;
    trouble.textContent = "";
    button.setAttribute("aria-disabled", "true");
    ctx.announce("Follow what your browser shows.");
    let credential;
    try {
      credential = await create(registration, ctx.signal);
    } catch (error) {
      if (!ctx.signal.aborted) failed(explain(error));
      return;
    }
    const answer = await ctx.submit({ response: credential });
    if (answer) failed(complaint(answer, "response"));
  }

  function failed(problem) {
    adding = false;
    trouble.textContent = problem || "That did not work.";
    button.textContent = "Try again";
    button.removeAttribute("aria-disabled");
    button.focus();
  }

  if (hindrance()) failed(hindrance());
  return {
    focus: () => button.focus(),
    update: (challenge) => ({ registration } = challenge), // a challenge is for one answer
  };
}
