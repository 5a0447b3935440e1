// Time-based codes.
import { codePage } from "../flow/code.js";
import { given } from "../flow/kind.js";

// A person with several apps knows them by the names that they gave them.
const own = ({ challenge }) => given("totp", challenge.device_name);

export const label = (device) => ({ name: own(device) ?? "Authenticator app", hint: "Type the code that it shows", icon: "clock" });

export default (ctx) => codePage(ctx, {
  heading: "Enter your code", label: "Code",
  hint: own(ctx.device) ? `Your app “${own(ctx.device)}” shows it.` : "Your authenticator app shows it.",
  attributes: { pattern: "[0-9 ]*" },
});
