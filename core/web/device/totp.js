// Time-based codes.
import { codePage } from "../flow/code.js";

// A person with several apps knows them by the names that they gave them.
const given = ({ challenge }) => challenge.device_name && challenge.device_name !== "TOTP Authenticator" ? challenge.device_name : null;

export const label = (device) => ({ name: given(device) ?? "Authenticator app", hint: "Type the code that it shows", icon: "clock" });

export default (ctx) => codePage(ctx, {
  heading: "Enter your code", label: "Code",
  hint: given(ctx.device) ? `Your app “${given(ctx.device)}” shows it.` : "Your authenticator app shows it.",
  attributes: { pattern: "[0-9 ]*" },
});
