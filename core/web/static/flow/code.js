// A code typed in from somewhere: what the code classes of the validation page share.
import { h } from "./dom.js";
import { form, field } from "./form.js";

/** Renders the code page of one class. heading, label, hint: texts; attributes: of the input. */
export function codePage(ctx, { heading, label, hint, attributes }) {
  ctx.heading(heading);
  const code = field({ name: "code", label, hint,
    attributes: { class: "code", required: true, autocomplete: "one-time-code", inputmode: "numeric", maxlength: 64, ...attributes } });
  const page = form({ fields: { code }, action: "Continue",
    send: (v) => ctx.submit({ code: v.code.replace(/\s/g, "") }) });
  ctx.root.append(page.element, ...(ctx.choose ? [h("ul", { class: "links" },
    h("li", {}, h("button", { type: "button", class: "plain", text: "Use another way", on: { click: ctx.choose } })))] : []));
  return { focus: page.focus, update: (challenge) => page.errors(challenge.response_errors) };
}
