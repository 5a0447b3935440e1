// A code typed in from somewhere: what the code classes of the validation page share.
import { h } from "./dom.js";
import { form, field } from "./form.js";

const day = 24 * 3600; // s

/**
 * Renders the code page of one class. heading, label, hint: texts; attributes: of the input. after gives what a code has to
 * wait for: a promise, or nothing.
 */
export function codePage(ctx, { heading, label, hint, attributes, after }) {
  // Said with each code: another tab, or this one before, may have chosen another device.
  const { device_class, device_uid } = ctx.device;
  const selected_challenge = { device_class, device_uid, challenge: {} };
  ctx.heading(heading);
  const code = field({ name: "code", label, hint,
    attributes: { class: "code", required: true, autocomplete: "one-time-code", inputmode: "numeric", maxlength: 64, ...attributes } });
  const page = form({ fields: { code }, action: "Continue",
    send: async (v) => {
      await after?.();
      ctx.submit({ selected_challenge, code: v.code.replace(/\s/g, "") });
    } });
  const wait = h("p", { class: "notice", "aria-live": "off", hidden: true });
  ctx.root.append(wait, page.element, ...(ctx.choose ? [h("ul", { class: "links" },
    h("li", {}, h("button", { type: "button", class: "plain", text: "Use another way", on: { click: ctx.choose } })))] : []));
  let clock = 0;
  // After wrong codes the device takes no other for a while: said before one is typed for nothing.
  function locked() {
    clearInterval(clock);
    const until = Date.parse(ctx.device.challenge.locked_until ?? "") || 0;
    const tick = () => {
      const seconds = Math.ceil((until - ctx.now()) / 1000);
      wait.hidden = seconds <= 0;
      if (seconds <= 0) return clearInterval(clock);
      const text = seconds > day ? "Too many wrong codes. This takes no more codes from here. Use another way, or ask your administrator."
        : `Too many wrong codes. You can try again in ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}.`;
      if (wait.textContent !== text) wait.textContent = text;
    };
    clock = setInterval(tick, 1000);
    tick();
  }
  locked();
  ctx.signal.addEventListener("abort", () => clearInterval(clock), { once: true });
  return {
    focus: page.focus,
    update(challenge) {
      page.errors(challenge.response_errors);
      locked();
    },
  };
}
