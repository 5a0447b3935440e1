// Recovery codes; they have letters.
import { codePage } from "../flow/code.js";

export const label = () => ({ name: "Recovery code", hint: "One of the codes that you put away", icon: "list" });

export default (ctx) => codePage(ctx, {
  heading: "Enter a recovery code", label: "Recovery code", hint: "Each code works once.",
  attributes: { inputmode: "text", autocomplete: "off" },
});
