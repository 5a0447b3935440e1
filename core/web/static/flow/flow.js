// The flow page: shows the executor's challenge with its stage's script, sends the answers, follows redirects.
import { h, link, safeURL, avatar } from "./dom.js";
import { executor } from "./executor.js";
import { pause } from "./api.js";

const main = document.getElementById("flow");
const live = document.getElementById("live");
const linkBox = document.getElementById("link");
const headingBox = document.getElementById("heading");
const who = document.getElementById("who");
const root = document.getElementById("stage");
const brand = document.getElementById("brand").textContent;
const names = (list) => new Set(list.split(" ").filter(Boolean));
const config = { stages: names(main.dataset.stages), devices: names(main.dataset.devices) };

const server = executor(main.dataset.slug, showAway);
const forever = new AbortController().signal;

let current = null; // the challenge on show
let view = {}; // what its script returned
let stage = new AbortController(); // aborted when the stage is left
let sending = null; // {held, controller} of the answer under way

function heading(text, focus) {
  if (focus) headingBox.focus();
  headingBox.textContent = text;
  document.title = text === brand ? brand : `${text} · ${brand}`;
}

function announce(text) {
  // The same text twice would not be read again.
  live.textContent = live.textContent === text ? text + "\u00a0" : text;
}

function busy(on) {
  main.toggleAttribute("data-pending", on);
  main.setAttribute("aria-busy", String(on));
  for (const b of root.querySelectorAll("form > .primary")) b.setAttribute("aria-disabled", String(on));
}

function showAway(state) {
  if (!state) {
    linkBox.replaceChildren();
    announce("The server is back.");
    return;
  }
  const text = state.status ? "The server is busy or starting." :
    navigator.onLine ? "The server cannot be reached." : "You seem to be offline.";
  const old = linkBox.querySelector("p");
  const detail = `Next try in ${state.seconds} s.`;
  // The status region is changed only where something new is to be said, or it would be read out at every try.
  if (old?.dataset.text === text) {
    linkBox.querySelector("[aria-hidden]").textContent = detail;
    linkBox.querySelector("button").onclick = state.retry;
    return;
  }
  const button = h("button", { type: "button", class: "plain", text: "Try now" });
  button.onclick = state.retry;
  linkBox.replaceChildren(h("div", { class: "notice link" },
    h("p", { dataset: { text } }, `${text} ${current ? "What you typed is kept, and this" : "This"} page goes on by itself. `,
      h("span", { "aria-hidden": "true", text: detail })), button));
}

/** Shows an answer of the executor; resolves to the challenge where the same stage stays, else to null. */
async function show({ challenge, moved }) {
  if (challenge.component === "xak-flow-redirect") return leave(challenge.to);
  const same = !moved && current?.component === challenge.component;
  if (same && view.update) {
    current = challenge;
    view.update(challenge);
    return challenge;
  }
  if (!moved && !same && challenge.response_errors) {
    // Another tab was faster: its stage's complaints about our answer would make no sense to anybody.
    challenge = { ...challenge, response_errors: undefined };
    announce("This step was already done elsewhere.");
  }
  await mount(challenge);
  return null;
}

async function mount(challenge) {
  let script;
  try {
    script = await load(challenge.component);
  } catch {
    return problem("This step cannot be shown", `This page has no part for “${challenge.component}”. Ask your administrator.`);
  }
  if (!script) return;
  clear();
  current = challenge;
  heading(challenge.flow_info?.title || brand);
  if (challenge.pending_user) {
    who.replaceChildren(h("div", { class: "chip" }, avatar(challenge.pending_user_avatar, challenge.pending_user),
      h("span", { class: "name", text: challenge.pending_user, title: challenge.pending_user }),
      link(challenge.flow_info?.cancel_url, "Not you?")));
  }
  const signal = stage.signal;
  const box = h("div", { class: "stage" });
  root.append(box);
  view = script.default({
    challenge, root: box, signal, heading, announce, config, now: server.now,
    submit: (body, options = {}) => submit(body, options, signal),
  }) ?? {};
  busy(false);
  (view.focus ?? (() => headingBox.focus()))();
}

/** Takes the stage on show away. */
function clear() {
  stage.abort();
  stage = new AbortController();
  view.destroy?.();
  view = {};
  root.replaceChildren();
  who.replaceChildren();
}

/** Imports a stage's script. A failed import is a lost connection: the names on offer are known. */
function load(component) {
  if (!config.stages.has(component)) throw new Error("no script");
  return server.persist(async (tries) => {
    try {
      // A browser may remember a failed import by its URL.
      return await import(`../stage/${component}.js${tries ? "?try=" + tries : ""}`);
    } catch (error) {
      if (error instanceof SyntaxError) throw error;
      throw server.signalAway();
    }
  }, forever);
}

async function submit(body, { quiet, held, again }, signal) {
  if (signal.aborted || (sending && !sending.held)) return null;
  sending?.controller.abort();
  const mine = (sending = { held, controller: new AbortController() });
  const abort = () => mine.controller.abort();
  signal.addEventListener("abort", abort, { once: true });
  if (!quiet && !held) busy(true);
  const component = current.component;
  let answer;
  try {
    answer = await server.post({ component, ...body }, {
      held, again: again && { component, ...again }, component, signal: mine.controller.signal,
    });
  } catch (failure) {
    if (failure.status === 403 || failure.status === 404) {
      problem("This page is out of date", failure.message + " Load it again to go on.");
      return null;
    }
    // One shape for the scripts: a refusal reads as an error of the stage.
    const code = failure.status === 429 ? "throttled" : "failure";
    answer = { moved: false, challenge: { ...current, response_errors: { non_field_errors: [{ string: failure.message, code }] } } };
  } finally {
    signal.removeEventListener("abort", abort);
    if (sending === mine) sending = null;
  }
  if (!answer) return null;
  const stays = answer.challenge.component === current.component && !answer.moved;
  if (stays && !quiet && !held) busy(false);
  return show(answer);
}

/** Goes where the flow ends. A target in the executor is not an end but the next challenge. */
async function leave(to) {
  const url = safeURL(to);
  if (!url) {
    problem("This way is closed", "The page to go on to has an address that is not allowed.");
    return null;
  }
  const target = new URL(url);
  if (target.origin === location.origin && target.pathname.startsWith("/api/v3/flows/executor/")) {
    await refresh();
    return null;
  }
  busy(true);
  location.assign(url);
  if (url.split("#")[0] === location.href.split("#")[0]) location.reload();
  await pause(5000);
  // Still here: a slow page, or one that was stopped.
  clear();
  heading("One moment…");
  root.append(h("p", { text: "The next page takes its time." }),
    h("p", {}, h("a", { class: "button primary full", href: url, text: "Go on" })));
  return null;
}

function problem(title, text) {
  clear();
  current = null;
  heading(title);
  root.append(h("p", { text }), h("p", { class: "actions" }, h("button", {
    type: "button", class: "button primary full", text: "Load again", on: { click: () => location.reload() },
  })));
  busy(false);
  headingBox.focus();
}

async function refresh() {
  try {
    const answer = await server.get(forever);
    if (answer) await show(answer);
  } catch (failure) {
    if (failure.status === 404) problem("There is nothing here", "This flow does not exist, or not any more.");
    else problem("That did not work", failure.message);
  }
}

// Back from the next page: what stands here is over.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
refresh();
