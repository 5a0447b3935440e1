// One screen at a time: its heading, what is on it, the way back, and the focus.
import { h, icon } from "../flow/dom.js";

const root = document.getElementById("screen");
const heading = document.getElementById("heading");
const way = document.getElementById("way");
const live = document.getElementById("live");
const screens = {};
let leaving = new AbortController(); // of the screen that is shown

/** Adds screens by name: functions of {show, signal, with: what go was given}. */
export const add = (more) => Object.assign(screens, more);

/** The name of the screen that is shown. */
export const shown = () => history.state?.screen ?? "home";

/** Goes to a screen; the phone's own way back leads to this one again. instead: it does not, the new one takes its place. */
export function go(screen, { with: given = null, instead = false } = {}) {
  const state = { screen, with: given, depth: instead ? history.state?.depth ?? 0 : (history.state?.depth ?? 0) + 1 };
  if (instead) history.replaceState(state, "");
  else history.pushState(state, "");
  render(true);
}

/** Goes back to where the person came from; home where there is nothing before. */
export function back() {
  if (history.state?.depth > 0) history.back();
  else go("home", { instead: true });
}

/** Shows the screen that the history names, anew. moved: the person went there, so that the focus goes along. */
export function render(moved) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const show = (title, children, { back: text } = {}) => {
    if (signal.aborted) return;
    heading.textContent = title;
    document.title = `${title} · ${document.getElementById("brand").textContent}`;
    way.replaceChildren(...(text === undefined ? [] : [h("button", { type: "button", class: "back", on: { click: back } }, icon("back"), text)]));
    root.replaceChildren(...children.flat().filter(Boolean));
    document.getElementById("phone").removeAttribute("aria-busy");
    document.body.dataset.screen = shown();
    if (moved) {
      scrollTo(0, 0);
      heading.focus({ preventScroll: true });
    }
    moved = true; // a screen that shows itself again took away what had the focus
  };
  (screens[shown()] ?? screens.home)({ show, signal, with: history.state?.with });
}

addEventListener("popstate", () => render(true));

/** Says a text to screen readers. */
export function announce(text) {
  live.textContent = "";
  requestAnimationFrame(() => (live.textContent = text));
}

/** A button. kind: "primary", "danger", "" … */
export const button = (text, act, kind = "", more = {}) =>
  h("button", { type: "button", class: `button full ${kind}`.trim(), text, on: { click: act }, ...more });

/** A line that says what is wrong, read out at once; empty it is not seen. */
export const trouble = (text = "") => h("p", { class: "notice bad", role: "alert", text });

/** Marks a button as busy, or not any more; a busy one takes no clicks, but keeps the focus. */
export function busy(element, on) {
  if (on) element.setAttribute("aria-disabled", "true");
  else element.removeAttribute("aria-disabled");
  return on;
}

/** Whether a button takes no clicks now. */
export const isBusy = (element) => element.getAttribute("aria-disabled") === "true";
