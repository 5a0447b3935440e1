// Duo: the person is asked by the Duo app, and this page waits for the answer.
//
//   asking and waiting ──▶ over: denied, no answer, too often … ──▶ a click ──▶ asking
//
// A new question is always a person's act. An approval is not seen here: the executor goes on by itself.
import { h, s, icon } from "../flow/dom.js";
import { given } from "../flow/kind.js";
import { pause } from "../flow/api.js";

const pace = 1000; // ms between two waits at the least, whatever the server answers

export function label(device) {
  return { name: "Duo", hint: given("duo", device.challenge.device_name) ?? "Asks the Duo app on your phone", icon: "phone" };
}

export default function render(ctx) {
  const id = Number(ctx.device.device_uid);
  const box = h("div", { class: "ask" });
  ctx.root.append(box);
  let question = 0; // counts them: answers to an older one count for nothing

  async function ask() {
    const mine = ++question;
    waiting();
    for (;;) {
      const began = performance.now();
      const answer = await ctx.submit({ duo: id }, { held: true });
      if (!answer || mine !== question) return;
      const { duo = [], non_field_errors = [] } = answer.response_errors ?? {};
      const error = [...duo, ...non_field_errors][0];
      if (error && error.code !== "waiting") return over(error);
      await pause(pace - (performance.now() - began), ctx.signal);
      if (ctx.signal.aborted || mine !== question) return;
    }
  }

  // A button that had the focus is about to go.
  const heading = (text) => ctx.heading(text, box.contains(document.activeElement));

  function waiting() {
    heading("Approve with Duo");
    const text = "Open Duo Mobile on your phone and approve the sign-in. If Duo calls you, follow what it says.";
    box.replaceChildren(h("div", { class: "dial endless" }, ring(), icon("phone")), h("p", { class: "lead", text }), elsewhere());
    ctx.announce(text);
  }

  function over(error) {
    // Programs see one code for a denial and for a failure, by contract; people are told which it was.
    const [title, text] = error.string === "Duo denied access" ? ["Duo did not approve", "Nobody was let in."]
      : /timed out/i.test(error.string) ? ["No answer came", "The sign-in was not approved in time."]
      : error.code === "throttled" ? ["Too many requests", error.string] : ["That did not work", error.string];
    const bad = error.code === "denied" && error.string === "Duo denied access";
    heading(title);
    box.replaceChildren(h("div", { class: bad ? "dial bad" : "dial over" }, icon(bad ? "cross" : "clock")), h("p", { class: "lead", text }),
      elsewhere(h("button", { type: "button", class: "button primary", text: "Try again", on: { click: ask } })));
    ctx.announce(`${title}. ${text}`);
    box.querySelector("button").focus();
  }

  function elsewhere(first) {
    const other = ctx.choose && h("button", { type: "button", class: "button", text: "Use another way", on: { click: ctx.choose } });
    return h("p", { class: "actions" }, ...[first, other].filter(Boolean));
  }

  ask();
  return {
    focus: () => document.getElementById("heading").focus(),
    destroy: () => question++,
  };
}

// A quarter of a circle, which the style sheet turns.
function ring() {
  const circle = (name, more = {}) => s("circle", { class: name, cx: 50, cy: 50, r: 46, ...more });
  const round = 2 * Math.PI * 46;
  return s("svg", { class: "ring", viewBox: "0 0 100 100", "aria-hidden": "true" }, circle("track"),
    circle("left", { "stroke-dasharray": round, "stroke-dashoffset": round * 0.75 }));
}
