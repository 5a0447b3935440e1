// Adding a telephone number: the number, then the code that was sent to it.
//
//   number ──▶ code ──▶ (the executor goes on)
//     ▲         │ another number
//     └─────────┘
import { h } from "../flow/dom.js";
import { form, field } from "../flow/form.js";

const gap = 30; // s until another message may be asked for

export default function render(ctx) {
  const { root, submit, heading, announce, signal } = ctx;
  let number = ""; // as it was typed, for sending again; unknown after a reload
  let page = null; // the form on show
  let timer = 0;

  const show = (...parts) => (clearInterval(timer), root.replaceChildren(...parts));
  const links = (...buttons) => h("ul", { class: "links" }, buttons.filter(Boolean).map((b) => h("li", {}, b)), h("li", {}, h("a", { href: "/", text: "Cancel" })));

  function askNumber(focus) {
    heading("Add your phone number", focus);
    const phone = field({ name: "phone_number", label: "Phone number", value: number,
      hint: "With the country code, for example +44 7700 900123. We send a text message with a code there.",
      attributes: { required: true, autocomplete: "tel", inputmode: "tel", maxlength: 64 } });
    page = form({ fields: { phone_number: phone }, action: "Send me a code", send: (v) => send(v.phone_number) });
    page.asks = "number";
    show(page.element, links());
    page.focus();
  }

  async function send(typed) {
    number = typed.trim();
    const answer = await submit({ phone_number: number });
    if (answer && !answer.phone_number_required && !answer.response_errors) askCode(answer, true);
  }

  function askCode(challenge, fresh) {
    heading("Enter the code we sent", fresh);
    const to = challenge.sent_to ? ` to your number that ends in ${challenge.sent_to.replace(/\D/g, "")}` : "";
    const code = field({ name: "code", label: "Code", hint: `It has 6 digits and came as a text message${to}. It is good for 5 minutes.`,
      attributes: { class: "code", required: true, autocomplete: "one-time-code", inputmode: "numeric", maxlength: 16, pattern: "[0-9 ]*" } });
    page = form({ fields: { code }, action: "Continue", send: (v) => submit({ code: v.code.replace(/\s/g, "") }) });
    page.asks = "code";
    const again = number && h("button", { type: "button", class: "plain", on: { click: () => send(number) } });
    const other = h("button", { type: "button", class: "plain", text: "Use another number", on: { click: () => askNumber(false) } });
    show(page.element, links(again, other));
    if (again) countdown(again, fresh ? gap : 0);
    if (fresh) announce("A code was sent.");
    page.focus();
  }

  // The button waits until the server would take it.
  function countdown(button, seconds) {
    const end = performance.now() + seconds * 1000;
    const tick = () => {
      const left = Math.ceil((end - performance.now()) / 1000);
      button.disabled = left > 0;
      button.textContent = left > 0 ? `Send a new code (in ${left} s)` : "Send a new code";
      if (left <= 0) clearInterval(timer);
    };
    timer = setInterval(tick, 500);
    tick();
  }

  if (ctx.challenge.phone_number_required) askNumber(false);
  else askCode(ctx.challenge, false);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  return {
    focus: () => page.focus(),
    update(challenge) {
      if (page.asks === "code" && challenge.phone_number_required) askNumber(true);
      page.errors(challenge.response_errors);
    },
    destroy: () => clearInterval(timer),
  };
}
