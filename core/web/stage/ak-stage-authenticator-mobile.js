// Adding a phone: a link for its camera or an app, and the comparison that shows that it is this phone which called in.
import { h, icon } from "../flow/dom.js";
import { api, pause } from "../flow/api.js";

const pace = 2000; // ms between two questions to the server at the least
const hold = 25; // s for which the server may hold an answer back
const cheer = 1200; // ms for which the success is shown before the flow goes on

export default function render({ challenge: first, root, signal, submit, heading, announce, now }) {
  let challenge, life; // of the enrolment that is shown
  const error = h("p", { class: "notice bad", role: "alert" });
  const state = h("p", { class: "state", role: "status" });
  const warning = h("div", { role: "alert", class: "gap" });

  begin(first);
  return {
    update(c) {
      if (c.payload.s !== challenge.payload.s) begin(c, true); // the one before was refused
      error.textContent = Object.values(c.response_errors ?? {}).flat().map((e) => e.string).join(" ");
    },
  };

  function begin(c, again) {
    life?.abort();
    life = new AbortController();
    const mine = life;
    signal.addEventListener("abort", () => mine.abort(), { once: true, signal: mine.signal });
    challenge = c;
    error.textContent = "";
    warning.replaceChildren();
    if (c.fingerprint) compare(c.fingerprint, c.device_name);
    else offer(again);
    watch(mine.signal, c.progress ?? "shown");
  }

  /** The ways in: the camera, an app, this very phone, or typing. */
  function offer(again) {
    heading("Add your phone", again);
    if (again) announce("Nothing was added. Here is a new code.");
    const text = JSON.stringify(challenge.payload);
    const link = appLink(challenge.link) ? challenge.link : null;
    const forApp = image(challenge.qr_code), forCamera = link && image(challenge.qr_link);
    state.textContent = "Waiting for your phone…";
    const app = [
      h("ol", { class: "steps" },
        h("li", { text: "On your phone, open the app that approves your sign-ins. If you have none, ask your administrator which one it is." }),
        h("li", { text: "Choose to add an account there." }),
        h("li", { text: forApp ? "Point its camera at this code." : "Copy the code below into it." })),
      forApp && h("div", { class: "qr" }, h("img", { src: challenge.qr_code, alt: "QR code to add this account to the app" })),
    ];
    const parts = challenge.progress === "opened" || challenge.progress === "contested" ? [] : link ? [
      h("p", { class: "actions on-phone" }, h("a", { href: link, class: "button full primary", text: "Use this phone" })),
      h("p", { text: "Point your phone’s camera at this code and open the link. The page there becomes your authenticator; no app is needed." }),
      forCamera && h("div", { class: "qr" }, h("img", { src: challenge.qr_link, alt: "QR code with the link for your phone" })),
      h("details", {}, h("summary", { text: "No camera? Type a code" }),
        h("p", {}, "On your phone, open ", h("strong", { class: "address", text: link.split("#")[0].replace(/^https?:\/\//, "") }), " and type:"),
        h("p", { class: "key mono spelled", text: challenge.code })),
      h("details", {}, h("summary", { text: "Use an app instead" }), app, copyable(text, !forApp)),
    ] : [app, copyable(text, !forApp)];
    root.replaceChildren(...parts.flat().filter(Boolean), state, warning, error,
      h("ul", { class: "links" }, h("li", {}, h("a", { href: "/", text: "Cancel" }))));
    opened(challenge.progress);
  }

  function image(source) {
    return source?.startsWith("data:image/svg+xml") || source?.startsWith("data:image/png");
  }

  /** Somebody used the code of the link: perhaps not the person who looks at this page. */
  function opened(progress) {
    if (progress !== "opened" && progress !== "contested") return;
    for (const used of root.querySelectorAll(".qr, details, .on-phone")) used.remove();
    say("A phone opened the code. Go on there…");
    warning.replaceChildren(h("p", { class: progress === "contested" ? "notice bad" : "notice",
      text: "This code was used already. If it was not you, show a new code: it ends what was begun with this one." }),
      h("p", { class: "actions" }, button("Show a new code", () => submit({ matches: false }))));
  }

  /** The phone has called in: is it the one in the person's hand? */
  function compare(fingerprint, name) {
    heading("Does your phone show this?", true);
    announce(`Compare with your phone: ${fingerprint}`);
    state.textContent = "";
    root.replaceChildren(
      h("p", { text: name ? `“${name}” called in. Look at your phone: it shows nine digits.` : "A phone called in. Look at yours: it shows nine digits." }),
      h("p", { class: "key mono spelled", text: fingerprint }),
      h("p", { class: "fine", text: "If it shows others, or an error, another phone was faster, and it is not yours." }),
      error, warning,
      h("p", { class: "answers" },
        button("Yes, it is the same", () => submit({ fingerprint }), "primary full"),
        button("No, it does not", () => submit({ matches: false }), "full")));
  }

  async function watch(over, progress) {
    const path = `/authenticators/mobile/${encodeURIComponent(challenge.payload.s)}/enrollment_status/?wait=${hold}&progress=`;
    const end = Date.parse(challenge.expires ?? "") || Infinity;
    while (!over.aborted) {
      if (progress !== "called_in" && now() > end) return expired();
      const began = performance.now();
      let news = false;
      try {
        if (!document.hidden) {
          const answer = await api("POST", path + progress, null, over);
          if (over.aborted) return;
          if (answer.status === "success") return done();
          news = answer.progress && answer.progress !== progress;
          if (news) {
            progress = answer.progress;
            if (answer.fingerprint) compare(answer.fingerprint);
            else opened(progress);
          } else if (progress === "shown") say("Waiting for your phone…");
        }
      } catch (failure) {
        if (over.aborted) return;
        if (failure.status === 403 || failure.status === 404) return expired();
        say("The server cannot be reached. Trying again…");
      }
      if (!news) await pause(pace - (performance.now() - began), over);
      if (document.hidden) await visible(over);
    }
  }

  // A status region is read out when it changes, so it only does when there is something new.
  function say(text) {
    if (state.textContent !== text) state.textContent = text;
  }

  async function done() {
    heading("Your phone is ready", true);
    announce("Your phone was added.");
    root.replaceChildren(h("div", { class: "done" }, icon("tick"), h("p", { text: "From now on it can approve your sign-ins." })), error);
    await pause(cheer, signal);
    const stays = await submit({}, { quiet: true });
    if (stays) root.append(h("p", {}, button("Continue", () => submit({}), "primary full")));
  }

  function expired() {
    heading("This code is over", true);
    root.replaceChildren(h("p", { text: "A code works once and for a short time. Nothing was added." }),
      h("p", {}, button("Show a new code", () => location.reload(), "primary full")));
    announce("This code is over.");
  }
}

const button = (text, click, more = "") => h("button", { type: "button", class: `button ${more}`.trim(), text, on: { click } });

function copyable(code, open) {
  const text = h("textarea", { class: "mono", readonly: true, "aria-label": "Code", rows: "4" });
  text.value = code;
  const said = h("span", { class: "fine", role: "status" });
  const copy = async () => {
    text.select();
    try {
      await navigator.clipboard.writeText(code);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "It is selected: copy it by hand.";
    }
  };
  return h("details", { open }, h("summary", { text: "Can’t scan? Copy the code" }), text,
    h("p", { class: "actions" }, h("button", { type: "button", class: "button", text: "Copy", on: { click: copy } }), said));
}

/** Whether value is a link into an app: https, or a scheme of the app's own, but none that the browser would run. */
function appLink(value) {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(value ?? "")?.[1].toLowerCase();
  return scheme && !["javascript", "data", "vbscript", "blob", "file", "about"].includes(scheme);
}

/** Resolves when the page is looked at again. */
function visible(signal) {
  return new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
}
