// Where the person is signed in.
import { h, icon } from "../flow/dom.js";
import { api } from "../flow/api.js";
import { section, dotted } from "./section.js";
import { ago } from "./time.js";
import { ask } from "./dialog.js";

/** Returns {elements, load}. */
export function sessions(page, me) {
  const list = section(page, {
    title: "Where you are signed in",
    async read() {
      const { results } = await api("GET",
        `/core/authenticated_sessions/?user__username=${encodeURIComponent(me.username)}&ordering=-last_used&page_size=100`);
      return results.filter((s) => s.user === me.pk).sort((a, b) => b.current - a.current);
    },
    show: (all) => [all.length ? h("ul", { class: "rows", role: "list" }, all.map(row)) : h("p", { text: "No session is on record." })],
  });

  function row(s) {
    const name = browser(s);
    return h("li", { class: "row" }, icon("screen"),
      h("div", { class: "what" },
        h("strong", {}, h("span", { text: name }), s.current && h("span", { class: "badge", text: "This one" })),
        h("small", { text: dotted(s.last_ip, s.geo_ip?.city, s.geo_ip?.country, `used ${ago(s.last_used)}`) })),
      !s.current && h("div", { class: "does" }, h("button", {
        type: "button", class: "button small", text: "End", "aria-label": `End the session of ${name}, ${s.last_ip}`,
        on: { click: () => end(s, name) },
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
    list.load(true);
  }

  return { elements: [list.element], load: list.load };
}

function browser({ user_agent: ua }) {
  const known = (v) => v && v !== "Other" ? v : "";
  const app = known(ua?.user_agent?.family), system = known(ua?.os?.family);
  if (app && system) return `${app} on ${system}`;
  return app || system || "Unknown browser";
}
