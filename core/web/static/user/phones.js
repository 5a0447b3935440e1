// The person's phones: rename, remove, add.
import { h, icon, safeURL } from "../flow/dom.js";
import { api } from "../flow/api.js";
import { field } from "../flow/form.js";
import { ago } from "./time.js";
import { ask } from "./dialog.js";

export async function phones(page, ways) {
  const add = ways.map((w, i) => h("a", { class: i ? "button small" : "button small primary", href: safeURL(w.configure_url),
    text: ways.length > 1 ? `Add: ${w.title}` : "Add a phone" }));
  const body = page.section("Phones", add);
  const heading = body.parentElement.querySelector("h2");
  heading.tabIndex = -1;

  async function load(focus) {
    try {
      const { results } = await api("GET", "/authenticators/mobile/?page_size=100");
      list(results.filter((d) => d.confirmed));
    } catch (failure) {
      if (!page.signedOut(failure)) body.replaceChildren(h("p", { class: "notice bad", role: "alert", text: failure.message }));
    }
    if (focus) heading.focus(); // the button that was pressed is gone
  }

  function list(devices) {
    if (!devices.length) {
      body.replaceChildren(h("p", { text: add.length
        ? "No phone yet. Add one, and it can approve your sign-ins."
        : "No phone yet. Ask your administrator how to add one." }));
      return;
    }
    body.replaceChildren(h("ul", { class: "rows" }, devices.map((d) => h("li", { class: "row" }, icon("phone"),
      h("div", { class: "what" }, h("strong", { text: d.name }), h("small", { text: describe(d) })),
      h("div", { class: "does" },
        h("button", { type: "button", class: "button small", text: "Rename", "aria-label": `Rename ${d.name}`, on: { click: () => rename(d) } }),
        h("button", { type: "button", class: "button small danger", text: "Remove", "aria-label": `Remove ${d.name}`, on: { click: () => remove(d, devices.length === 1) } }))))));
  }

  async function rename(device) {
    const name = field({ name: "name", label: "Name", value: device.name, attributes: { maxlength: 64, autocomplete: "off", autocapitalize: "sentences" } });
    const done = await ask({
      title: "Rename this phone", content: name.element, action: "Rename",
      act: () => api("PATCH", `/authenticators/mobile/${device.pk}/`, { name: name.input.value.trim() }),
    });
    if (!done) return;
    page.announce("Renamed.");
    load(true);
  }

  async function remove(device, last) {
    const done = await ask({
      title: `Remove ${device.name}?`, danger: true, action: "Remove",
      content: [
        h("p", { text: "It can no longer approve sign-ins. This cannot be undone: to use it again you add it anew, with the phone at hand." }),
        last && h("p", { class: "notice", text: "It is your only phone. Without another one you may not be able to sign in again." }),
      ].filter(Boolean),
      act: () => api("DELETE", `/authenticators/mobile/${device.pk}/`),
    });
    if (!done) return;
    page.announce(`${device.name} was removed.`);
    load(true);
  }

  load(false);
}

// last_checkin is what the phone told of itself (core.md §4.4); when it did is an addition.
function describe({ last_checkin: info, last_checkin_at: at }) {
  if (!info) return "Has not called in yet";
  const system = { ios: "iOS", android: "Android", other: "" }[info.platform] ?? "";
  return [info.model, `${system} ${info.os_version}`.trim(), info.app_version && `app ${info.app_version}`, at && `seen ${ago(at)}`].filter(Boolean).join(" · ");
}
