// A button that copies a text, and says whether it did.
import { h } from "./dom.js";

const shown = 4000; // ms

/** text is a function that gives what to copy. Where the browser does not let it, the person is told to do it by hand. */
export function copyButton(label, text) {
  const said = h("span", { class: "sr", role: "status" });
  const words = h("span", { text: label });
  const button = h("button", { type: "button", class: "button" }, words);
  let timer = 0;
  button.addEventListener("click", async () => {
    let result = "Copied";
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      result = "Copy by hand"; // no permission, or a page without https
    }
    words.textContent = said.textContent = result;
    clearTimeout(timer);
    timer = setTimeout(() => {
      words.textContent = label;
      said.textContent = "";
    }, shown);
  });
  return h("span", { class: "copy" }, button, said);
}
