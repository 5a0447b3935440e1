// Questions on top of the page.
import { h } from "../flow/dom.js";

/**
 * Asks. content: nodes; action: the word on the button; act: what it does, rejecting with a Failure whose message is
 * shown. Resolves to true when act was done, to false when the person thought better of it.
 */
export function ask({ title, content, action, danger, act }) {
  return new Promise((resolve) => {
    const error = h("p", { class: "error", role: "alert" });
    const go = h("button", { type: "submit", class: danger ? "button danger" : "button primary", text: action });
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, h("h2", { id: "dialog-title", text: title }),
      h("form", {
        novalidate: true,
        on: {
          async submit(event) {
            event.preventDefault();
            if (go.getAttribute("aria-disabled")) return;
            go.setAttribute("aria-disabled", "true");
            error.textContent = "";
            try {
              await act();
              close(true);
            } catch (failure) {
              error.textContent = failure.message;
              go.removeAttribute("aria-disabled");
            }
          },
        },
      }, content, error, h("p", { class: "actions" }, go,
        // What cannot be undone should not be one careless Enter away.
        h("button", { type: "button", class: "button", text: "Cancel", autofocus: danger, on: { click: () => close(false) } }))));
    function close(result) {
      dialog.close();
      dialog.remove();
      resolve(result);
    }
    dialog.addEventListener("cancel", (event) => (event.preventDefault(), close(false)));
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("input")?.select();
  });
}
