// What was asked of this phone, and how it ended. It is kept here alone.
import { h, icon } from "../flow/dom.js";
import * as store from "./store.js";

const outcomes = {
  answered: ["tick", "You answered"], denied: ["cross", "You denied it"], reported: ["shield", "You reported it"],
  missed: ["clock", "Not answered in time"], replaced: ["clock", "Given up at the page"],
};

export async function past({ show }) {
  const entries = await store.history();
  show("What was asked", [
    entries.length
      ? h("ul", { class: "rows" }, entries.map(row))
      : h("p", { text: "Nothing yet. Every request that you see on this phone is listed here, with how it ended." }),
    entries.length > 0 && h("p", { class: "fine gap", text: "This list is kept on this phone alone, for the last 200 requests." }),
  ], { back: "Back" });
}

function row({ at, name, outcome, context, lines }) {
  const [sign, text] = outcomes[outcome] ?? outcomes.missed;
  const where = [context.browser, context.os].filter(Boolean).join(" on ");
  return h("li", { class: "row" }, icon(sign), h("div", { class: "what" },
    h("strong", { text: lines?.[0].value || context.application || context.host || name }),
    h("small", { text: `${text} · ${new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }).replace(/\s/g, "\u00a0")}` }),
    h("small", { text: [lines?.find((l) => l.label === "Amount")?.value, where, context.ip, name].filter(Boolean).join(" · ") })));
}
