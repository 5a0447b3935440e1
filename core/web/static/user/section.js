// A section of the account page over something that the server tells.
import { h } from "../flow/dom.js";

/**
 * Makes a section: {element, load}. read resolves to what show makes nodes of. load reads and shows; what failed is said
 * with a button to try again. It returns whether it went well, and may be given where the focus goes then: the control
 * that was pressed is gone. Without such a place the heading takes it.
 */
export function section(page, { title, action, read, show }) {
  const heading = h("h2", { text: title, tabindex: "-1" });
  const body = h("div", { class: "body" });
  const element = h("section", { class: "section", "aria-label": title }, h("header", {}, heading, action), body);
  let latest = 0; // counts the loads: the answer to an older one is not shown

  async function load(focus) {
    const mine = ++latest;
    let nodes, failed = false;
    body.setAttribute("aria-busy", "true");
    try {
      nodes = show(await read());
    } catch (failure) {
      if (page.signedOut(failure)) return false;
      failed = true;
      nodes = [h("p", { class: "notice bad", role: "alert", text: failure.message }), again(() => load(true))];
    }
    if (mine !== latest) return false;
    body.replaceChildren(...nodes);
    body.setAttribute("aria-busy", "false");
    page.broken.delete(load);
    if (failed) page.broken.add(load);
    if (focus) ((typeof focus === "function" && focus()) || heading).focus();
    return !failed;
  }
  return { element, load };
}

/** Facts in a line, without those that are missing. No line begins with a dot. */
export const dotted = (...facts) => facts.filter(Boolean).join("\u00a0· ");

/** A button that does something once more. */
export function again(act) {
  const button = h("button", { type: "button", class: "button", text: "Try again", on: {
    click() {
      if (button.getAttribute("aria-disabled")) return;
      button.setAttribute("aria-disabled", "true");
      act();
    },
  } });
  return h("p", { class: "actions" }, button);
}
