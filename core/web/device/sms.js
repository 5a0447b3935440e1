// Codes by text message: choosing the device sends one.
import { h } from "../flow/dom.js";
import { codePage } from "../flow/code.js";

const digits = (text) => (text ?? "").replace(/\D/g, "");

export function label(device) {
  const end = digits(device.challenge.number);
  return { name: "Text message", hint: end ? `Sends a code to the number that ends in ${end}` : "Sends a code to your phone", icon: "message" };
}

export default function render(ctx) {
  const { device_class, device_uid } = ctx.device;
  const end = digits(ctx.device.challenge.number);
  const page = codePage(ctx, {
    heading: "Enter the code we sent", label: "Code", attributes: { pattern: "[0-9 ]*" },
    hint: `It comes as a text message${end ? ` to the number that ends in ${end}` : ""}.`,
    after: () => sending, // the message may be here before the provider's word of it is
  });
  const again = h("button", { type: "button", class: "plain", text: "Send a new code", on: { click: () => send(true) } });
  ctx.root.append(h("ul", { class: "links" }, h("li", {}, again)));
  let asked = false; // until the code is asked for, the server's "Empty response" is no complaint
  let sending = null; // the request for a code, under way

  async function send(anew) {
    again.disabled = true;
    asked = false;
    sending = ctx.submit({ selected_challenge: { device_class, device_uid, challenge: {} } }, { quiet: true });
    const answer = await sending;
    asked = true;
    if (anew && answer && !answer.response_errors?.selected_challenge) ctx.announce("A new code was sent.");
    wait();
  }

  // The button waits until the server would take it.
  function wait() {
    const end = Date.parse(ctx.device.challenge.again ?? "") || 0;
    const tick = () => {
      const left = Math.ceil((end - ctx.now()) / 1000);
      again.disabled = left > 0;
      again.textContent = left > 0 ? `Send a new code (in ${left} s)` : "Send a new code";
      if (left > 0 && !ctx.signal.aborted) setTimeout(tick, 500);
    };
    tick();
  }

  send(false);
  return { ...page, update: (challenge) => asked || challenge.response_errors?.selected_challenge ? page.update(challenge) : null };
}
