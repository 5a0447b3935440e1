// The account page: the person, their phones, their sessions.
import { h, avatar, safeURL } from "../flow/dom.js";
import { api } from "../flow/api.js";
import { phones } from "./phones.js";
import { sessions } from "./sessions.js";

const main = document.getElementById("user");
const content = document.getElementById("content");
const heading = document.getElementById("heading");
const live = document.getElementById("live");

const page = {
  announce: (text) => (live.textContent = text),
  section(title, action) {
    const body = h("div");
    const element = h("section", { class: "section", "aria-label": title }, h("header", {}, h("h2", { text: title }), action), body);
    content.append(element);
    return body;
  },
  /** Whether the failure was a lost session, which the page leaves for. */
  signedOut(failure) {
    if (failure.status !== 403 && failure.status !== 401) return false;
    location.assign("/flows/-/default/authentication/?next=" + encodeURIComponent("/if/user/"));
    return true;
  },
};

async function start() {
  let me, settings;
  try {
    // Without the settings the page still serves: only the ways to set things up are missing.
    [me, settings] = await Promise.all([
      api("GET", "/core/users/me/").then((r) => r.user),
      api("GET", "/stages/all/user_settings/").catch(() => []),
    ]);
  } catch (failure) {
    if (page.signedOut(failure)) return;
    content.replaceChildren(h("p", { class: "notice bad", role: "alert", text: failure.message }),
      h("button", { type: "button", class: "button", text: "Try again", on: { click: () => location.reload() } }));
    main.setAttribute("aria-busy", "false");
    return;
  }
  const name = me.name || me.username;
  heading.textContent = name;
  const head = h("div", { class: "head" });
  heading.replaceWith(head);
  head.append(avatar(me.avatar, name),
    h("div", {}, heading, h("p", { text: [name !== me.username && me.username, me.email].filter(Boolean).join(" · ") })),
    h("a", { class: "button", href: "/flows/-/default/invalidation/", text: "Sign out" }));
  content.replaceChildren();
  const ways = (component) => settings.filter((s) => s.component === component && s.configure_url && safeURL(s.configure_url));
  phones(page, ways("ak-user-settings-authenticator-mobile"));
  const password = ways("ak-user-settings-password")[0];
  if (password) {
    page.section("Password", h("a", { class: "button small", href: safeURL(password.configure_url), text: "Change password" }));
  }
  sessions(page, me);
  if (me.is_superuser) {
    content.append(h("p", { class: "fine" }, h("a", { href: "/if/admin/", text: "Administration" })));
  }
  main.setAttribute("aria-busy", "false");
}

window.addEventListener("pageshow", (event) => event.persisted && location.reload());
start();
