// Where the person is signed in.
import { h, icon } from "../flow/dom.js";
import { api } from "../flow/api.js";
import { ago } from "./time.js";
import { ask } from "./dialog.js";

export async function sessions(page, me) {
  const body = page.section("Where you are signed in");
  const heading = body.parentElement.querySelector("h2");
  heading.tabIndex = -1;

  async function load(focus) {
    try {
      const { results } = await api("GET",
        `/core/authenticated_sessions/?user__username=${encodeURIComponent(me.username)}&ordering=-last_used&page_size=100`);
      list(results.filter((s) => s.user === me.pk).sort((a, b) => b.current - a.current));
    } catch (failure) {
      if (!page.signedOut(failure)) body.replaceChildren(h("p", { class: "notice bad", role: "alert", text: failure.message }));
    }
    if (focus) heading.focus(); // the button that was pressed is gone
  }

  function list(all) {
    if (!all.length) {
      body.replaceChildren(h("p", { text: "No session is on record." }));
      return;
    }
    body.replaceChildren(h("ul", { class: "rows" }, all.map((s) => {
      const name = browser(s);
      return h("li", { class: "row" }, icon("screen"),
        h("div", { class: "what" },
          h("strong", {}, name, s.current && h("span", { class: "badge", text: "This one" })),
          h("small", { text: [s.last_ip, s.geo_ip?.city, s.geo_ip?.country, `used ${ago(s.last_used)}`].filter(Boolean).join(" · ") })),
        !s.current && h("div", { class: "does" }, h("button", {
          type: "button", class: "button small", text: "End", "aria-label": `End the session of ${name}, ${s.last_ip}`,
          on: { click: () => end(s, name) },
        })));
    })));
  }

  async function end(session, name) {
    const done = await ask({
      title: "End this session?", danger: true, action: "End it",
      content: h("p", { text: `${name} at ${session.last_ip} will have to sign in again.` }),
      act: () => api("DELETE", `/core/authenticated_sessions/${session.uuid}/`),
    });
    if (!done) return;
    page.announce("The session was ended.");
    load(true);
  }

  load(false);
}

function browser({ user_agent: ua }) {
  const known = (v) => v && v !== "Other" ? v : "";
  const app = known(ua?.user_agent?.family), system = known(ua?.os?.family);
  if (app && system) return `${app} on ${system}`;
  return app || system || "Unknown browser";
}
