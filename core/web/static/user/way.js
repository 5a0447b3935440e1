// What a person can add, and in which order it is offered.
import { h, icon, safeURL } from "../flow/dom.js";
import { kind, classes } from "../flow/kind.js";

const prefix = "ak-user-settings-authenticator-";

/** The stages among the user settings that set an authenticator up: {class, name, hint, icon, url}. */
export function ways(settings) {
  const found = settings.filter((s) => s.component.startsWith(prefix) && s.configure_url && safeURL(s.configure_url))
    .map((s) => ({ class: s.component.slice(prefix.length), title: s.title, url: safeURL(s.configure_url) }));
  const rank = ({ class: name }) => (classes.includes(name) ? classes.indexOf(name) : classes.length);
  return found.sort((a, b) => rank(a) - rank(b)).map((w) => {
    const words = kind(w.class, w.title);
    // Two of a kind are told apart by the names that the administrator gave them.
    const twin = found.some((o) => o !== w && o.class === w.class);
    const tell = (text) => (twin && text !== w.title ? `${text}: ${w.title}` : text);
    return { ...w, ...words, name: tell(words.name), another: tell(words.another) };
  });
}

/** Links to set up what is on offer. has: the classes that the person has already. */
export function choices(offered, has) {
  const good = recommended(offered, has);
  const best = offered.filter((w) => good.has(w.class));
  const rest = offered.filter((w) => !good.has(w.class));
  const fresh = rest.filter((w) => !has.has(w.class)), more = rest.filter((w) => has.has(w.class));
  return [
    !has.size && advice(best.map((w) => w.class)),
    h("ul", { class: "choices", role: "list" }, [...best, ...fresh, ...more].map((w) => h("li", {}, h("a", { class: "choice", href: w.url }, icon(w.icon),
      h("span", {}, h("strong", {}, h("span", { text: has.has(w.class) ? w.another : w.name }), good.has(w.class) && h("span", { class: "badge", text: "Recommended" })),
        h("small", { text: w.class === "static" && has.has("static") ? "The ones that you have go on working until you remove them." : w.hint })))))),
  ].filter(Boolean);
}

// To begin with: what is quick and hard to steal. Then what helps when that is lost.
function recommended(offered, has) {
  const wanted = !has.size ? ["mobile", "webauthn"] : has.has("static") ? [] : ["static"];
  return new Set(offered.map((w) => w.class).filter((name) => wanted.includes(name)));
}

function advice(best) {
  const words = { mobile: "the phone app", webauthn: "a passkey" };
  const names = [...new Set(best)].map((name) => words[name]);
  return names.length ? h("p", { text: `Start with ${names.join(" or ")}: quick to use, and hard to steal. Add recovery codes afterwards, for the day you lose your phone.` }) : null;
}
