// Time-based codes.
import { codePage } from "../flow/code.js";

export const label = () => ({ name: "Authenticator app", hint: "Type the code that it shows", icon: "clock" });

export default (ctx) => codePage(ctx, {
  heading: "Enter your code", label: "Code", hint: "Your authenticator app shows it.",
  attributes: { pattern: "[0-9 ]*" },
});
