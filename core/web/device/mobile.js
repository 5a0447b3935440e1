// The phone with the app: it is asked, and this page shows the number to tap or type there and waits for the answer; or the
// phone shows a code, which is typed here.
//
//   waiting ◀─▶ (says how far the question came; a wrong number was typed with tries left; and goes on waiting)
//     ▲   │ ▲
//     │   ▼ │ wrong, or the phone has not approved yet
//     │  a code is sent
//     │   │
//     │   └─▶ over: wrong number, no answer, replaced, too often …
//     └─ a click ─┘
//
// A new question is always a person's act. Accepted and refused are not seen here: the executor goes on by itself.
import { h, s, icon } from "../flow/dom.js";
import { field, form } from "../flow/form.js";
import { pause } from "../flow/api.js";

const pace = 1000; // ms between two waits at the least, whatever the server answers
const circumference = 2 * Math.PI * 46; // of the ring, in its view box

export function label(device) {
  const name = device.challenge.device_name;
  return { name: name ? `Approve on ${name}` : "Approve on your phone", hint: "Asks the app on your phone", icon: "phone" };
}

// What ended a question, by error code: heading, text; the server's own words where there is no text.
const ends = {
  denied: ["That was the wrong number", "A wrong number was chosen. Nobody was let in."],
  mistyped: ["Too many wrong numbers", "Wrong numbers were typed on the phone. Nobody was let in."],
  miscoded: ["Too many wrong codes", "That was not the code on your phone. Try again to get a new one."],
  unsupported: ["This phone cannot be asked", null],
  refused: ["The request was refused", "Nobody was let in."],
  expired: ["No answer came", "Your phone did not answer in time."],
  superseded: ["Replaced by a newer request", "Another sign-in asked your phone in the meantime."],
  throttled: ["Requests to your phone are paused", null],
  network_mismatch: ["Confirm with a passkey too", null],
  other: ["That did not work", null],
};

// What is said of a question that goes on.
const going = new Set(["waiting", "internal", "wrong_number"]);

// How far the question came on its way to the phone.
const ways = {
  accepted: "Your phone was reached.",
  fetched: "Your phone has the request.",
  displayed: "Your phone shows the request.",
};

// Why it did not, where that is more than bad luck.
const failures = {
  no_address: "Your phone has not told us how to ring it.",
  unregistered: "The app on your phone can no longer be rung.",
  invalid_address: "The app on your phone can no longer be rung.",
  no_push: "Your phone does not ring for requests.",
  no_channel: "We cannot ring your phone at the moment.",
  quota: "Phones are rung too often at the moment.",
};

export default function render(ctx) {
  const { device_class, device_uid } = ctx.device;
  const phone = ctx.device.challenge.device_name || "your phone";
  const box = h("div", { class: "ask" });
  ctx.root.append(box);
  let clock = 0; // the ticking of the ring
  let way = null; // where it stands how far the question came
  let question = 0; // counts them: answers to an older one count for nothing
  let entry = null; // the form for the code, while it is on show

  /** The executor's complaint, without the one that it has about every selection by design. */
  function complaint(challenge) {
    const { selected_challenge = [], mobile = [], non_field_errors = [] } = challenge.response_errors ?? {};
    return [...selected_challenge, ...mobile, ...non_field_errors.filter((e) => e.string !== "Empty response")][0];
  }

  // Choice and answer go together, so that the question costs one request. When the server finds that this page shows
  // another number than it asks for, it answers at once, with the one that counts.
  async function ask() {
    const mine = ++question;
    const later = { mobile: device_uid };
    let body = { selected_challenge: { device_class, device_uid, challenge: { item: ctx.device.challenge.item, delivery: "sent" } }, ...later };
    waiting(null);
    await listen(mine, body, later);
  }

  // Asks how it stands until the question is over, or another takes its place.
  async function listen(mine, body, later) {
    const look = () => JSON.stringify([ctx.device.challenge.item, trouble]);
    let trouble = null;
    let shown = look();
    let came = "sent";
    let lost = false; // the trouble is that the phone could not be reached
    for (;;) {
      const began = performance.now();
      const answer = await ctx.submit(body, { held: true, again: later });
      if (!answer || mine !== question) return;
      body = later;
      const error = complaint(answer);
      if (error && !going.has(error.code)) return over(error);
      const { delivery, delivery_failure: why } = ctx.device.challenge;
      const moved = delivery !== undefined && came !== delivery; // then the next news may be there at once
      came = delivery ?? came;
      if (error?.code === "internal") [trouble, lost] = [`${failures[why] ?? "We could not reach your phone."} Open the app: the request is waiting there.`, true];
      else if (lost && ways[came]) [trouble, lost] = [null, false];
      else if (error?.code === "wrong_number") trouble = error.string;
      if (entry) entry.update(trouble);
      else if (shown !== look()) waiting(trouble);
      shown = look();
      if (way && way.textContent !== (ways[came] ?? "")) way.textContent = ways[came] ?? "";
      box.querySelector(".another")?.classList.toggle("primary", lost);
      if (!moved) await pause(pace - (performance.now() - began), ctx.signal);
      if (ctx.signal.aborted || mine !== question) return;
    }
  }

  function show(...children) {
    clearInterval(clock);
    box.replaceChildren(...children.filter(Boolean));
  }

  // A button that had the focus is about to go.
  const heading = (text) => ctx.heading(text, box.contains(document.activeElement));
  const mode = (kind) => ctx.device.challenge.item_mode?.startsWith(kind);

  /** Shows the question, with what there is to say about it. */
  function waiting(problem) {
    entry = way = null;
    if (mode("code_shown")) return asking(problem);
    const { item, expires, answer_window: seconds } = ctx.device.challenge;
    // The end that the challenge tells may be that of a question before this one.
    const end = Date.parse(expires ?? "") || 0;
    const number = mode("number_") ? item : null;
    const act = mode("number_typed") ? "type" : "tap";
    heading(number ? `${act === "tap" ? "Tap" : "Type"} this number on your phone` : "Approve on your phone");
    const told = number ? `Open the app on ${phone} and ${act} this number.` : `Open the app on ${phone} and approve the sign-in.`;
    const left = h("p", { class: "fine", "aria-hidden": "true" });
    const dial = h("div", { class: "dial" }, ring(1), number
      ? h("span", { class: number.length > 3 ? "number six" : number.length > 2 ? "number long" : "number" },
        number.length > 3 ? [number.slice(0, 3), number.slice(3)].map((text) => h("span", { text })) : number)
      : icon("phone"));
    way = h("p", { class: "fine", role: "status" });
    const trouble = h("p", { class: "notice", role: "alert" });
    show(dial, h("p", { class: "lead", text: told }), left, way, trouble, actions("Send again", ask, false));
    // Filled once it stands in the page, or it would not be read out.
    if (problem) trouble.textContent = problem;
    else ctx.announce(number ? `${told} The number is ${[...number].join(" ")}.` : told);
    countdown(dial, left, end > ctx.now() ? end : seconds && ctx.now() + seconds * 1000);
  }

  /** Shows the field for the code that the phone shows. */
  function asking(problem) {
    const { expires, answer_window: seconds } = ctx.device.challenge;
    const end = Date.parse(expires ?? "") || 0;
    heading("Type the code from your phone");
    const lead = h("p", { class: "lead" });
    const left = h("p", { class: "fine", "aria-hidden": "true" });
    const dial = h("div", { class: "dial small" }, ring(1), icon("phone"));
    const trouble = h("p", { class: "notice", role: "alert" });
    const code = field({ name: "code", label: "Code on your phone", attributes: {
      class: "code", required: true, autocomplete: "one-time-code", inputmode: "numeric", pattern: "[0-9 ]*", maxlength: 12,
    } });
    const page = form({ fields: { code }, action: "Continue", send: (v) => send(v.code.replace(/\s/g, "")) });
    show(dial, lead, left, page.element, trouble, actions("Send again", ask, false));
    let sent = false; // a code that the server has not refused
    let said = "";
    entry = {
      update(problem, refused) {
        if (refused !== undefined) sent = !refused;
        const text = sent ? `Now approve the sign-in on ${phone}.`
          : ctx.device.challenge.approved ? `Type the code that ${phone} shows.`
          : `Open the app on ${phone} and approve the sign-in. It shows a code: type it here.`;
        lead.textContent = text;
        if (problem && trouble.textContent !== problem) trouble.textContent = problem;
        else if (!refused && said !== text) ctx.announce((said = text));
        if (refused !== undefined) page.errors(refused ? { code: [refused] } : {});
      },
      focus: page.focus,
    };
    entry.update(problem);
    countdown(dial, left, end > ctx.now() ? end : seconds && ctx.now() + seconds * 1000);
  }

  // Sends a code. It is held where it is right and the phone has not approved; it goes out once, as each counts.
  let checking = false;
  async function send(code) {
    if (checking) return;
    const mine = ++question;
    const later = { mobile: device_uid };
    const page = entry;
    checking = true;
    const slow = setTimeout(() => page.update(null, null), 1000);
    const answer = await ctx.submit({ ...later, code }, { held: true, again: later });
    clearTimeout(slow);
    checking = false;
    if (!answer || mine !== question) return;
    const refused = answer.response_errors?.code?.[0] ?? null;
    const error = complaint(answer);
    if (error && !going.has(error.code)) return over(error);
    page.update(null, refused);
    await listen(mine, later, later);
  }

  // Runs the ring down. Without an end in the challenge it circles.
  function countdown(dial, text, end) {
    if (!end) {
      dial.classList.add("endless");
      dial.querySelector(".left").setAttribute("stroke-dashoffset", circumference * 0.75);
      text.textContent = "Waiting for your answer.";
      return;
    }
    const total = Math.max(1, end - ctx.now());
    const tick = () => {
      const rest = Math.max(0, end - ctx.now());
      const seconds = Math.ceil(rest / 1000);
      dial.querySelector(".left").setAttribute("stroke-dashoffset", circumference * (1 - rest / total));
      text.textContent = seconds ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left` : "Time is over.";
      if (seconds === 20) ctx.announce("20 seconds left.");
    };
    tick();
    clock = setInterval(tick, 1000);
  }

  /** How long the phone is not asked yet, by the server's clock. It only tells: asking again is the person's act. */
  function paused() {
    const end = Date.parse(ctx.device.challenge.paused_until ?? "");
    if (!end) return null;
    const text = h("p", { class: "fine", "aria-hidden": "true" });
    const tick = () => {
      const seconds = Math.max(0, Math.ceil((end - ctx.now()) / 1000));
      const two = (n) => String(n).padStart(2, "0");
      const hours = Math.floor(seconds / 3600);
      text.textContent = !seconds ? "You can try again now."
        : `${hours ? `${hours}:${two(Math.floor(seconds / 60) % 60)}` : Math.floor(seconds / 60)}:${two(seconds % 60)} left`;
    };
    setTimeout(() => { // after what show() stops
      if (!text.isConnected) return;
      tick();
      clock = setInterval(tick, 1000);
    });
    return text;
  }

  function over(error) {
    // The contract's codes are few: an answer that never came is told from other invalid ones by its text, and so is a
    // refusal by the phone from one of the server's.
    const timedOut = error.code === "invalid" && /timed out/i.test(error.string);
    const code = timedOut ? "expired" : error.code !== "denied" ? error.code :
      error.string !== "Mobile denied access" ? "other" : mode("number_matching") ? "denied" : mode("number_typed") ? "mistyped" :
      mode("code_shown") ? "miscoded" : "refused";
    entry = null;
    const [title, text] = ends[code] ?? ends.other;
    heading(title);
    show(h("div", { class: error.code === "denied" ? "dial bad" : "dial over" }, icon(error.code === "denied" ? "cross" : "clock")),
      h("p", { class: "lead", text: text ?? error.string }), code === "throttled" && paused(),
      code === "network_mismatch" && ctx.choose
        ? h("p", { class: "actions" }, h("button", { type: "button", class: "button primary", text: "Use a passkey", on: { click: ctx.choose } }))
        : actions("Try again", ask, true));
    ctx.announce(`${title}. ${text ?? error.string}`);
    box.querySelector("button").focus();
  }

  function actions(text, act, primary) {
    return h("p", { class: "actions" },
      h("button", { type: "button", class: primary ? "button primary" : "button", text, on: { click: act } }),
      ctx.choose && h("button", { type: "button", class: "button another", text: "Use another way", on: { click: ctx.choose } }));
  }

  ask();
  return {
    focus: () => (entry ?? document.getElementById("heading")).focus(),
    destroy() {
      question++;
      clearInterval(clock);
    },
  };
}


function ring(share) {
  const circle = (name, more = {}) => s("circle", { class: name, cx: 50, cy: 50, r: 46, ...more });
  return s("svg", { class: "ring", viewBox: "0 0 100 100", "aria-hidden": "true" }, circle("track"),
    circle("left", { "stroke-dasharray": circumference, "stroke-dashoffset": circumference * (1 - share) }));
}
