// Questions on top of the page.
import { h } from "../flow/dom.js";

/**
 * Asks. content: nodes; action: the word on the button; fields: those in content that must be filled in; act: what it
 * does, rejecting with a Failure whose message is shown. Resolves to true when act was done, to false when the person
 * thought better of it.
 */
export function ask({ title, content, action, danger, fields = [], act }) {
  return new Promise((resolve) => {
    const error = h("p", { class: "notice bad", role: "alert" });
    const go = h("button", { type: "submit", class: danger ? "button danger" : "button primary", text: action });
    const busy = (on) => (on ? go.setAttribute("aria-disabled", "true") : go.removeAttribute("aria-disabled"));
    const dialog = h("dialog", { "aria-labelledby": "dialog-title", "aria-describedby": danger && "dialog-content" },
      h("h2", { id: "dialog-title", text: title }),
      h("form", {
        novalidate: true,
        on: {
          async submit(event) {
            event.preventDefault();
            if (go.getAttribute("aria-disabled")) return;
            error.textContent = "";
            for (const f of fields) f.error(f.input.value.trim() ? null : "Fill this in.");
            const empty = fields.find((f) => !f.input.value.trim());
            if (empty) return empty.input.focus();
            busy(true);
            try {
              await act();
              close(true);
            } catch (failure) {
              error.textContent = failure.message;
              busy(false);
            }
          },
        },
      }, h("div", { id: "dialog-content" }, content), error, h("p", { class: "actions" }, go,
        // What cannot be undone should not be one careless Enter away.
        h("button", { type: "button", class: "button", text: "Cancel", autofocus: danger, on: { click: cancel } }))));

    // What is under way cannot be called back: its end is shown.
    function cancel() {
      if (!go.getAttribute("aria-disabled")) close(false);
    }
    function close(result) {
      dialog.close();
      dialog.remove();
      resolve(result);
    }
    dialog.addEventListener("cancel", (event) => (event.preventDefault(), cancel()));
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("input")?.select();
  });
}
