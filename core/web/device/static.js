// Recovery codes; they have letters.
import { codePage } from "../flow/code.js";

/** A warning when few codes are left, else null. */
function warning({ codes_left: left }) {
  if (left === undefined) return null;
  if (left === 0) return "No code is left. Use another way, or ask your administrator.";
  return left === 1 ? "This is your last code. Make new ones in your account afterwards."
    : `Only ${left} codes are left. Make new ones in your account soon.`;
}

export const label = ({ challenge }) => ({
  name: "Recovery code", icon: "list",
  hint: challenge.codes_left === undefined ? "One of the codes that you put away" : `${challenge.codes_left || "None"} left`,
});

export default function render(ctx) {
  const warned = warning(ctx.device.challenge);
  return codePage(ctx, {
    heading: "Enter a recovery code", label: "Recovery code", hint: ["Each code works once.", warned].filter(Boolean).join(" "),
    attributes: { class: "code letters", inputmode: "text", autocomplete: "off" },
  });
}
