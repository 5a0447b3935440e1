// A number pad: large keys for a thumb, and the digits of a keyboard where there is one.
import { h, icon } from "../flow/dom.js";
import { announce } from "./screen.js";

/** Makes a pad for a number of so many digits. change: called with what is typed so far, after each key. */
export function pad(digits, { change, signal }) {
  let typed = "";
  const boxes = Array.from({ length: digits }, () => h("span", { class: "box" }));
  const display = h("div", { class: "boxes", "aria-hidden": "true" }, boxes);
  const key = (digit) => h("button", { type: "button", class: "key-button", text: digit, on: { click: () => press(digit) } });
  const erase = h("button", { type: "button", class: "key-button", "aria-label": "Delete the last digit", on: { click: () => press("") } }, icon("erase"));

  function press(digit) {
    if (digit === "") typed = typed.slice(0, -1);
    else if (typed.length < digits) typed += digit;
    boxes.forEach((box, i) => (box.textContent = typed[i] ?? ""));
    boxes.forEach((box, i) => box.classList.toggle("next", i === typed.length));
    announce(typed ? [...typed].join(" ") : "Empty");
    change(typed);
  }
  boxes[0].classList.add("next");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, textarea") || document.querySelector("dialog[open]")) return;
    if (/^[0-9]$/.test(event.key)) press(event.key);
    else if (event.key === "Backspace") press("");
    else return;
    event.preventDefault();
  }, { signal });
  return {
    element: h("div", { class: "pad", role: "group", "aria-label": `Number of ${digits} digits` }, display,
      h("div", { class: "keys" }, [..."123456789"].map(key), h("span"), key("0"), erase)),
    clear() {
      typed = "";
      boxes.forEach((box, i) => ((box.textContent = ""), box.classList.toggle("next", i === 0)));
      change(typed);
    },
  };
}
