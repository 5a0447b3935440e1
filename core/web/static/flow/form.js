// Forms whose fields know their errors.
import { h } from "./dom.js";

let ids = 0;

/**
 * A labelled input: {element, input, error(text)}. Options: name, label, type, value, hint, and attributes (of the
 * input). A password field gets a button that shows what was typed.
 */
export function field({ name, label, type = "text", value, hint, attributes = {} }) {
  const id = `${name}-${++ids}`;
  const errorLine = h("p", { class: "error", id: id + "-error" });
  const input = h("input", {
    id, name, type, value, "aria-describedby": `${id}-error${hint ? ` ${id}-hint` : ""}`,
    autocapitalize: "none", autocorrect: "off", spellcheck: "false", ...attributes,
  });
  const element = h("div", { class: "field" }, h("label", { for: id, text: label }),
    type === "password" ? h("div", { class: "secret" }, input, reveal(input, label)) : input,
    hint && h("p", { class: "hint", id: id + "-hint", text: hint }), errorLine);
  return {
    element, input,
    error(text) {
      errorLine.textContent = text ?? "";
      if (text) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
}

function reveal(input, label) {
  const button = h("button", { type: "button", text: "Show", "aria-pressed": "false", "aria-label": `Show ${label.toLowerCase()}` });
  button.addEventListener("click", () => {
    const shown = input.type === "password";
    input.type = shown ? "text" : "password";
    button.textContent = shown ? "Hide" : "Show";
    button.setAttribute("aria-pressed", String(shown));
    input.focus();
  });
  return button;
}

/**
 * A form of fields with one button. fields: {name: field}; send is called with {name: value} and not while an empty
 * required field remains. Returns {element, errors(response_errors), focus()}: errors shows each one at its field, the
 * others above the form, and moves the focus to the first.
 */
export function form({ fields = {}, action, send, extra = [] }) {
  const top = h("p", { class: "notice bad", role: "alert" });
  const all = Object.entries(fields);
  const element = h("form", { novalidate: true }, top, all.map(([, f]) => f.element), extra,
    h("button", { type: "submit", class: "button primary", text: action }));

  function errors(found = {}) {
    const rest = [];
    let first = null;
    for (const [, f] of all) f.error(null);
    for (const [name, list] of Object.entries(found)) {
      const text = list.map((e) => e.string).join(" ");
      if (!fields[name]) rest.push(text);
      else {
        fields[name].error(text);
        first ??= fields[name].input;
      }
    }
    top.textContent = rest.join(" ");
    if (!first && rest.length) first = all[0]?.[1].input;
    first?.focus();
    first?.select();
  }

  element.addEventListener("submit", (event) => {
    event.preventDefault();
    const values = Object.fromEntries(all.map(([name, f]) => [name, f.input.value]));
    const missing = all.filter(([name, f]) => f.input.required && values[name] === "");
    if (missing.length) {
      errors(Object.fromEntries(missing.map(([name]) => [name, [{ string: "Fill this in." }]])));
      return;
    }
    send(values);
  });
  return { element, errors, focus: () => (all[0]?.[1].input ?? element.querySelector("button")).focus() };
}
