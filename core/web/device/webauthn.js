// Passkeys and security keys: the browser asks for one, and this page says what to do and what went wrong.
import { h, icon, link } from "../flow/dom.js";
import { hindrance, get, explain, complaint } from "../flow/passkey.js";

export const label = () => ({ name: "Passkey", hint: "Your fingerprint, face, PIN or security key", icon: "key" });

export default function render(ctx) {
  const anyone = ctx.device.device_uid === "-1"; // nobody has said a name yet
  const title = anyone ? "Sign in with a passkey" : "Use your passkey";
  const dial = h("div", { class: "dial over" }, icon("key"));
  const lead = h("p", { class: "lead" });
  const trouble = h("p", { class: "notice bad", role: "alert" });
  const button = h("button", { type: "button", class: "button primary", on: { click: ask } });
  ctx.root.append(h("div", { class: "ask" }, dial, lead, trouble,
    h("p", { class: "actions" }, button,
      ctx.choose && h("button", { type: "button", class: "button", text: "Use another way", on: { click: ctx.choose } }))));
  const back = anyone && !ctx.choose && document.referrer.startsWith(location.origin + "/if/flow/") && link(document.referrer, "Sign in another way");
  if (back) ctx.root.append(h("ul", { class: "links" }, h("li", {}, back)));
  ctx.heading(title);
  let asking = false;

  function rest(problem = "") {
    asking = false;
    lead.textContent = "Your browser asks for your fingerprint, your face, your PIN or your security key.";
    trouble.textContent = problem;
    button.textContent = problem ? "Try again" : "Use a passkey";
    button.removeAttribute("aria-disabled");
  }

  async function ask() {
    if (asking) return;
    const problem = hindrance();
    if (problem) return rest(problem);
    asking = true;
    trouble.textContent = "";
    lead.textContent = "Follow what your browser shows.";
    button.setAttribute("aria-disabled", "true");
    ctx.announce(lead.textContent);
    let credential;
    try {
      credential = await get(ctx.device.challenge, ctx.signal);
    } catch (error) {
      if (!ctx.signal.aborted) failed(explain(error));
      return;
    }
    const answer = await ctx.submit({ webauthn: credential });
    if (answer) failed(complaint(answer, "webauthn"));
  }

  function failed(problem) {
    rest(problem || "That did not work.");
    button.focus();
  }

  rest(hindrance());
  // Somebody who has said their name expects to be asked; somebody who has not may only be looking.
  if (!anyone && !hindrance()) ask();
  return { focus: () => button.focus(), update() {} };
}
