// Codes by text message: choosing the device sends one.
import { codePage } from "../flow/code.js";

export const label = () => ({ name: "Text message", hint: "Sends a code to your phone", icon: "message" });

export default function render(ctx) {
  const { device_class, device_uid } = ctx.device;
  const page = codePage(ctx, {
    heading: "Enter the code we sent", label: "Code", hint: "It comes as a text message.", attributes: { pattern: "[0-9 ]*" },
  });
  let asked = false; // until the code is asked for, the server's "Empty response" is no complaint
  ctx.submit({ selected_challenge: { device_class, device_uid, challenge: {} } }, { quiet: true }).then(() => (asked = true));
  return { ...page, update: (challenge) => asked || challenge.response_errors?.selected_challenge ? page.update(challenge) : null };
}
