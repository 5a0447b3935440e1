// Somebody asks: is this you? Everything shown here was signed by the server, and the answer is signed over it.
//
//	asked ─▶ approve (with the number) ─┐
//	   │ ──▶ deny ──────────────────────┼─▶ sent ─▶ the next one, or home
//	   │ ──▶ it was not me ─▶ sure? ────┘
//	   └──▶ time is over, or nobody waits any more
import { h, icon } from "../flow/dom.js";
import { pause } from "../flow/api.js";
import { ask } from "../user/dialog.js";
import { announce, back, busy, button, go, isBusy, trouble } from "./screen.js";
import { pad } from "./pad.js";
import { call, now } from "./server.js";
import { confirm } from "./verify.js";
import { answerClaims, signAnswer } from "./wire.js";
import * as store from "./store.js";
import * as watch from "./watch.js";

/** The words for a sign-in, and for what is none. */
const words = {
  login: {
    title: "Is this you?", told: (c) => `A sign-in to ${c.context.application || c.context.host} waits for your answer.`,
    sent: "The sign-in goes on by itself.", nothing: "Nobody was let in",
    again: "You did not answer in time, so nobody was let in. Sign in again if you meant to.", gone: "The sign-in was given up, or was answered in another way.",
    reported: "Nobody was let in, and the report is on record for your administrators. If you use the same password elsewhere, change it.",
    other: "It was not me…", sure: "Somebody else is signing in?", why: "Then somebody knows your password. Nobody is let in, and your administrators see your report.",
    calm: "If you only do not want to sign in now, choose Deny instead.",
  },
  transaction: {
    title: "Do you approve this?", told: (c) => `Something waits for your answer: ${c.lines.map((l) => `${l.label} ${l.value}`.trim()).join(", ")}.`,
    sent: "Just this, as it was shown, is approved.", nothing: "Nothing was approved",
    again: "You did not answer in time, so nothing was approved.", gone: "It was withdrawn, or was answered in another way.",
    reported: "Nothing was approved, and the report is on record for your administrators.",
    other: "It is not mine…", sure: "You did not ask for this?", why: "Then somebody else did, in your name. Nothing is approved, and your administrators see your report.",
    calm: "If you only changed your mind, choose Deny instead.",
  },
};
const wordsFor = (challenge) => (challenge.lines ? words.transaction : words.login);

const calm = 600; // ms for which a new question takes no answer: the finger may have been on its way to something else

/** The request that ends first; home where there is none. */
export function request({ show, signal }) {
  const first = watch.waiting()[0];
  if (!first) return go("home", { instead: true });
  question(first, show, signal);
}

function question({ account, challenge, approved }, show, signal) {
  if (approved && challenge.by === "show") return code({ account, challenge }, show, signal);
  const say = wordsFor(challenge);
  const wrong = trouble();
  const left = h("p", { class: "fine left", "aria-hidden": "true" });
  const bar = h("div", { class: "bar", "aria-hidden": "true" }, h("span"));
  let over = false; // answered, or nobody waits
  let sending = false; // an answer is on its way
  const answers = []; // all buttons that answer; while one is busy, all are
  let keys; // the number pad, where there is one

  /** A button that answers: not before the person can have seen the question, and not twice. */
  function answering(text, act, kind) {
    const element = button(text, async () => {
      if (over || answers.some(isBusy)) return;
      wrong.textContent = "";
      sending = true;
      answers.forEach((b) => busy(b, true));
      try {
        await act();
      } catch (failure) {
        if (signal.aborted || over) return;
        if (failure.reason === "wrong" && failure.left === 0) return end("missed", "That was the last try", `The number was wrong too often. ${say.nothing}.`);
        if (failure.reason === "over") return end("missed", "That came too late", "Nobody waits for an answer to this any more. Nothing was approved by it.");
        wrong.textContent = failure.message;
        if (failure.reason === "wrong") keys?.clear();
      } finally {
        sending = false;
        answers.forEach((b) => busy(b, false));
      }
    }, kind);
    answers.push(element);
    return element;
  }

  async function send(verb, item) {
    const signed = await signAnswer(account.key, answerClaims(challenge, account, verb, item, "possession"));
    // Whoever holds the phone may say no.
    const owner = verb === "approve" && account.passkey ? { user_verification: await confirm(account.passkey, signed) } : {};
    await call(account, "POST", "receive_response", {
      tx_id: challenge.tx, selected_item: verb === "approve" ? item : "deny", signed_answer: signed, ...owner,
    });
    if (verb === "approve" && challenge.by === "show") {
      watch.approved(challenge);
      over = true;
      return code({ account, challenge }, show, signal);
    }
    const outcome = { approve: "answered", deny: "denied", report: "reported" }[verb];
    if (verb === "approve") {
      end(outcome, "Sent", challenge.by !== "tap" ? say.sent
        : "Look at the page where you sign in. It goes on by itself if that was its number; a wrong number lets nobody in.");
    } else if (verb === "deny") end(outcome, "Denied", `${say.nothing}.`);
    else end(outcome, "Reported", say.reported);
  }

  /** Shows how it ended, and remembers it. */
  function end(outcome, title, text) {
    if (over) return;
    over = true;
    ended({ account, challenge }, show, signal, outcome, title, text);
  }

  const other = button(say.other, () => !over && !answers.some(isBusy) && report(), "danger");
  answers.push(other);
  const { context } = challenge;
  const what = {
    agree: () => [answering("Approve", () => send("approve", "accept"), "primary")],
    tap: () => [
      h("p", { class: "ask", id: "ask", text: "Tap the number on the page:" }),
      h("div", { class: "numbers", role: "group", "aria-labelledby": "ask" }, challenge.items.map((item) => {
        const b = answering(item, () => send("approve", item), "number");
        b.setAttribute("aria-label", [...item].join(" "));
        return b;
      })),
    ],
    type: () => {
      const approve = answering("Approve", () => send("approve", typed), "primary");
      let typed = "";
      approve.hidden = true;
      keys = pad(challenge.digits, { signal, change: (t) => ((typed = t), (approve.hidden = t.length < challenge.digits)) });
      return [h("p", { class: "ask", text: "Type the number on the page:" }), keys.element, approve];
    },
    show: () => [
      h("p", { class: "ask", text: "The page asks for a code. It is shown here when you approve." }),
      answering("Approve and show the code", () => send("approve", challenge.items[0]), "primary"),
    ],
  }[challenge.by]();

  show(say.title, [
    h("p", { class: "who" }, h("strong", { text: account.name }), more()),
    challenge.lines ? transaction(challenge.lines) : facts(context),
    bar, left, wrong,
    h("div", { class: "answer" }, what),
    h("div", { class: "no" },
      answering("Deny", () => send("deny")),
      other),
  ]);
  announce(say.told(challenge));
  // The page where it was asked then knows that the question is before somebody.
  call(account, "POST", "displayed", { tx_id: challenge.tx }).catch(() => {});

  function more() {
    const others = watch.waiting().length - 1;
    return others > 0 && h("span", { class: "badge", text: `${others} more` });
  }

  const report = () => ask({
    title: say.sure, action: "Report it", danger: true,
    content: [
      h("p", { text: say.why }),
      h("p", { text: say.calm }),
    ],
    act: () => send("report"),
  });

  answers.forEach((b) => busy(b, true));
  setTimeout(() => answers.forEach((b) => busy(b, false)), calm);
  const total = challenge.expires - challenge.created;
  const tick = () => {
    if (over) return clearInterval(clock);
    const rest = challenge.expires - now();
    const seconds = Math.max(0, Math.ceil(rest / 1000));
    left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
    bar.firstChild.style.setProperty("inline-size", `${Math.min(100, (100 * Math.max(0, rest)) / total)}%`);
    if (seconds === 20) announce("20 seconds left.");
    if (rest <= 0 && !answers.some(isBusy)) end("missed", "Time is over", say.again);
  };
  const clock = setInterval(tick, 1000);
  tick();
  signal.addEventListener("abort", () => clearInterval(clock));

  // The page where it was asked may have been left, or asked anew: then this question is over before its time.
  watch.changes.addEventListener("change", async () => {
    if (over || sending || watch.waiting().some((r) => r.challenge.tx === challenge.tx)) return;
    if (challenge.expires <= now()) return;
    await pause(300, signal);
    if (over || signal.aborted || sending) return;
    if (watch.waiting().length) go("request", { instead: true });
    else end("replaced", "No longer asked", say.gone);
  }, { signal });
}

/** Shows how a request ended, and remembers it. */
function ended({ account, challenge }, show, signal, outcome, title, text) {
  const { context, by, lines } = challenge;
  store.remember({ at: Date.now(), device: account.device, name: account.name, outcome, by, context, lines }).catch(() => {});
  watch.settle(challenge);
  if (signal.aborted) return;
  const next = watch.waiting().length;
  const sign = { answered: "tick", missed: "clock" }[outcome] ?? "cross";
  show(title, [
    h("div", { class: `sign ${sign === "cross" ? "bad" : sign}` }, icon(sign)),
    h("p", { class: "lead", text }),
    button(next ? "See the next request" : "Done", () => (next ? go("request", { instead: true }) : back()), "primary"),
  ]);
  announce(`${title}. ${text}`);
}

/** The code of a request that is approved, until it was typed at the page. */
function code({ account, challenge }, show, signal) {
  const [number] = challenge.items;
  const left = h("p", { class: "fine left", "aria-hidden": "true" });
  const wrong = trouble();
  const deny = button("Deny after all", async () => {
    if (over || isBusy(deny)) return;
    wrong.textContent = "";
    busy(deny, true);
    try {
      const signed = await signAnswer(account.key, answerClaims(challenge, account, "deny", "", "possession"));
      await call(account, "POST", "receive_response", { tx_id: challenge.tx, selected_item: "deny", signed_answer: signed });
      if (over) return;
      over = true;
      ended({ account, challenge }, show, signal, "denied", "Denied", "Nobody was let in.");
    } catch (failure) {
      wrong.textContent = failure.message;
    } finally {
      busy(deny, false);
    }
  });
  show("Type this code at the page", [
    h("p", { class: "shown", "aria-label": [...number].join(" "), text: number.replace(/^(...)/, "$1\u2009") }),
    left,
    h("p", { text: "It is for the page where you sign in, and nowhere else. Tell it to nobody: whoever asks for it wants to sign in as you." }),
    wrong, deny,
  ]);
  announce(`The code is ${[...number].join(" ")}.`);
  let over = false;
  const tick = () => {
    if (over) return clearInterval(clock);
    const seconds = Math.max(0, Math.ceil((challenge.expires - now()) / 1000));
    left.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} left`;
    if (seconds) return;
    over = true;
    ended({ account, challenge }, show, signal, "missed", "Time is over", "The code was not typed in time, so nobody was let in.");
  };
  const clock = setInterval(tick, 1000);
  tick();
  signal.addEventListener("abort", () => clearInterval(clock));
  watch.changes.addEventListener("change", () => {
    if (over || isBusy(deny) || challenge.expires <= now() || watch.waiting().some((r) => r.challenge.tx === challenge.tx)) return;
    over = true;
    ended({ account, challenge }, show, signal, "answered", "Done", "The page has the code, and goes on by itself if it was right.");
  }, { signal });
}

/** What is to be approved: all that is signed, each line whole. */
function transaction([title, ...lines]) {
  return h("div", {}, h("p", { class: "title", text: title.value }),
    lines.length > 0 && h("dl", { class: "facts whole" }, lines.map((l) => h("div", {}, h("dt", { text: l.label }), h("dd", { dir: "auto", text: l.value })))));
}

/** What the sign-in is, in the order in which it helps to tell one's own from a stranger's. */
export function facts(context) {
  const where = [context.browser, context.os].filter(Boolean).join(" on ");
  const list = [
    ["Application", context.application], ["With", where], ["From", context.ip], ["At", context.host],
    ["Time", new Date(context.time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })],
  ];
  return h("dl", { class: "facts" }, list.filter(([, text]) => text).map(([name, text]) => h("div", {}, h("dt", { text: name }), h("dd", { text }))));
}
