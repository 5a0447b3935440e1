// The account page: the person, the ways to confirm that it is them, their sessions.
import { h, avatar, safeURL } from "../flow/dom.js";
import { api } from "../flow/api.js";
import { devices } from "./devices.js";
import { sessions } from "./sessions.js";
import { again, dotted } from "./section.js";

const main = document.getElementById("user");
const content = document.getElementById("content");
const heading = document.getElementById("heading");
const live = document.getElementById("live");
const offline = document.getElementById("offline");

const page = {
  broken: new Set(), // the load functions of what could not be read
  announce: (text) => (live.textContent = text),
  /** Whether the failure was a lost session, which the page leaves for. */
  signedOut(failure) {
    if (failure.status !== 403 && failure.status !== 401) return false;
    location.assign("/flows/-/default/authentication/?next=" + encodeURIComponent("/if/user/"));
    return true;
  },
};

async function start(focus) {
  main.setAttribute("aria-busy", "true");
  const first = api("GET", "/authenticators/all/");
  first.catch(() => {}); // said where it is awaited
  let me, settings;
  try {
    // Without the settings the page still serves: only the ways to set things up are missing.
    [me, settings] = await Promise.all([
      api("GET", "/core/users/me/").then((r) => r.user),
      api("GET", "/stages/all/user_settings/").catch(() => null),
    ]);
  } catch (failure) {
    if (page.signedOut(failure)) return;
    content.replaceChildren(h("div", { class: "section" }, h("p", { class: "notice bad", role: "alert", text: failure.message }), again(() => start(true))));
    main.setAttribute("aria-busy", "false");
    page.broken.add(start);
    return;
  }
  page.broken.delete(start);
  const parts = [devices(page, me, settings, first), password(settings), sessions(page, me)];
  await Promise.all(parts.map((p) => p.load?.())); // all at once, so that nothing moves
  who(me);
  content.replaceChildren(...parts.flatMap((p) => p.elements));
  if (me.is_superuser) content.append(h("p", { class: "fine" }, h("a", { href: "/if/admin/", text: "Administration" })));
  main.setAttribute("aria-busy", "false");
  if (focus) heading.focus();
}

function who(me) {
  const name = me.name || me.username;
  heading.textContent = name;
  document.getElementById("person").textContent = dotted(name !== me.username && me.username, me.email);
  document.querySelector(".head .avatar").replaceWith(avatar(me.avatar, name));
}

function password(settings) {
  const way = settings?.find((s) => s.component === "ak-user-settings-password" && s.configure_url && safeURL(s.configure_url));
  return { elements: way ? [h("section", { class: "section", "aria-label": "Password" }, h("header", {}, h("h2", { text: "Password" }),
    h("a", { class: "button small", href: safeURL(way.configure_url), text: "Change password" })))] : [] };
}

window.addEventListener("offline", () => (offline.textContent = "You are offline. Changes have to wait."));
window.addEventListener("online", () => {
  offline.textContent = "";
  for (const load of [...page.broken]) load();
});
if (!navigator.onLine) offline.textContent = "You are offline. Changes have to wait.";
// Back from a page that may have changed something.
window.addEventListener("pageshow", (event) => event.persisted && location.reload());
start();
