// The ways to confirm that it is you: what the person has, to rename and to remove, and what they can add.
import { h, icon } from "../flow/dom.js";
import { kind, given } from "../flow/kind.js";
import { field } from "../flow/form.js";
import { api } from "../flow/api.js";
import { owned } from "./owned.js";
import { ways, choices } from "./way.js";
import { section, again, dotted } from "./section.js";
import { ago } from "./time.js";
import { ask } from "./dialog.js";

const few = 3; // recovery codes at most to be told that there are few

/**
 * me: the person; settings: what they can set up, null where that could not be read; first: the answer to the first
 * question for their devices, which is under way. Returns {elements, load}.
 */
export function devices(page, me, settings, first) {
  const offered = settings && ways(settings);
  let own = { devices: [], whole: true };
  const more = h("section", { class: "section", "aria-label": "Add another way", hidden: true });
  const list = section(page, {
    title: "Ways to confirm it is you",
    async read() {
      const answer = first ?? api("GET", "/authenticators/all/");
      first = null;
      return (own = await owned(me, await answer));
    },
    show({ devices: all, whole }) {
      const codes = all.filter((d) => d.class === "static" && d.detail);
      more.hidden = !all.length; // without any, what can be added stands in the list's place
      more.replaceChildren(...(all.length ? [h("header", {}, h("h2", { text: "Add another way" })), h("div", { class: "body" }, adding(all))] : []));
      return all.length ? [
        h("p", { text: "When you sign in, one of these shows that it is really you." }),
        running(codes),
        !whole && h("p", { class: "notice" }, h("span", {}, "Some details could not be loaded. ",
          h("button", { type: "button", class: "plain", text: "Try again", on: { click: () => list.load(true) } }))),
        h("ul", { class: "rows", role: "list" }, all.map((d) => row(d))),
      ].filter(Boolean) : [
        h("h3", { text: "You have no second step yet" }),
        h("p", { text: "A password can be guessed, stolen, or typed into a false page. With a second step, nobody gets in with your password alone. Setting one up takes about a minute." }),
        ...adding(all),
      ];
    },
  });

  /** What can be added, to somebody who has all. */
  function adding(all) {
    if (!offered) {
      return [h("p", { class: "notice bad", text: "What you can add could not be loaded." }), again(() => location.reload())];
    }
    if (!offered.length) return [h("p", { text: "Nothing can be added here. An administrator has to allow it first." })];
    return choices(offered, new Set(all.map((d) => d.class)));
  }

  function running(codes) {
    const left = codes.reduce((sum, d) => sum + d.detail.token_set.length, 0);
    if (!codes.length || left > few) return null;
    const way = offered?.find((w) => w.class === "static");
    return h("p", { class: "notice" }, icon("list"), h("span", {},
      left === 0 ? "You have no recovery code left. " : left === 1 ? "You have only one recovery code left. " : `You have only ${left} recovery codes left. `,
      way ? h("a", { href: way.url, text: "Make new ones" }) : "Ask your administrator how to get new ones."));
  }

  function row(d) {
    return h("li", { class: "row", dataset: { device: d.key } }, icon(kind(d.class).icon),
      h("div", { class: "what" },
        h("strong", {}, h("span", { text: d.title }), d.detail?.backup_state && h("span", { class: "badge", text: "Synced" })),
        h("small", { text: dotted(d.title === d.kind ? null : d.kind, ...describe(d)) }),
        moving(d)),
      d.path && h("div", { class: "does two" },
        h("button", { type: "button", class: "button small", text: "Rename", "aria-label": `Rename ${d.title}`, on: { click: () => rename(d) } }),
        h("button", { type: "button", class: "button small danger", text: "Remove", "aria-label": `Remove ${d.title}`, on: { click: () => remove(d) } })));
  }

  /** The move of a phone's account to a new one, while it is under way. */
  function moving(d) {
    const move = d.detail?.transfer;
    if (!move || move.state === "none") return null;
    if (move.state === "approved") return h("small", { text: `${move.name} takes its place. This phone is removed ${ago(move.ends)}.` });
    return h("small", {},
      move.state === "arrived" ? `${move.name} is to take its place, and waits for this phone to approve it. ` : "It offers your account to a new phone. ",
      h("button", { type: "button", class: "plain", text: "Stop this", "aria-label": `Stop the move from ${d.title} to a new phone`, on: { click: () => stop(d) } }));
  }

  async function stop(d) {
    const done = await ask({
      title: "Stop the move?", danger: true, action: "Stop the move",
      content: [h("p", { text: `${d.title} stays as it is, and the new phone gets nothing. You can begin again on ${d.title}.` })],
      act: () => api("POST", `${d.path}stop_transfer/`),
    });
    if (!done) return;
    page.announce("The move was stopped.");
    list.load(true);
  }

  async function rename(d) {
    const name = field({ name: "name", label: "Name", value: given(d.class, d.name) ?? "",
      hint: "So that you can tell it from others.",
      attributes: { required: true, maxlength: d.class === "webauthn" ? 200 : 64, autocomplete: "off", autocapitalize: "sentences" } });
    const done = await ask({
      title: `Rename ${d.title}`, content: name.element, action: "Rename", fields: [name],
      act: () => api("PATCH", d.path, { name: name.input.value.trim() }),
    });
    if (!done) return;
    page.announce("Renamed.");
    list.load(() => list.element.querySelector(`[data-device="${CSS.escape(d.key)}"] button`));
  }

  async function remove(d) {
    const done = await ask({
      title: `Remove ${d.title}?`, danger: true, action: "Remove",
      content: [h("p", { text: `${consequences[d.class] ?? "It no longer confirms your sign-ins."} To use it again you add it anew.` }), lastWords(d)].filter(Boolean),
      async act() {
        try {
          await api("DELETE", d.path);
        } catch (failure) {
          if (failure.status !== 404) throw failure; // removed elsewhere meanwhile
        }
      },
    });
    if (!done) return;
    page.announce(`Removed: ${d.title}.`);
    list.load(true);
  }

  /** What to think of before the last one goes. */
  function lastWords(d) {
    const rest = own.devices.filter((o) => o !== d);
    if (!rest.length) {
      return h("p", { class: "notice", text: "It is your only second step. Afterwards your password alone protects your account, and where a second step is demanded you may not be able to sign in." });
    }
    if (d.class === "static" || rest.some((o) => o.class !== "static")) return null;
    return h("p", { class: "notice", text: "Only your recovery codes remain then, and each of them works once. Add another way first." });
  }

  return { elements: [list.element, more], load: list.load };
}

// What removing means, beside that it is gone from the list.
const consequences = {
  mobile: "This phone can no longer approve your sign-ins.",
  webauthn: "It no longer signs you in here. Delete it on your device or in your password manager too: there it stays.",
  totp: "The codes that the app shows no longer work. Delete the entry in the app too: there it stays.",
  static: "The codes that are left no longer work. Throw away what you printed or saved.",
  sms: "We send no more codes to this number.",
  duo: "Duo can no longer approve your sign-ins here.",
};

/** What is worth telling about a device, in pieces. */
function describe({ class: name, detail, title }) {
  if (!detail) return [];
  switch (name) {
    case "mobile": {
      const info = detail.last_checkin; // what the phone told of itself (core.md §4.4)
      const system = { ios: "iOS", android: "Android" }[info?.platform] ?? "";
      return info ? [info.model !== title && info.model, `${system} ${info.os_version}`.trim(), info.app_version && `app ${info.app_version}`,
        detail.changed && `keys or address changed ${ago(detail.changed)}`] : ["has not called in yet"];
    }
    case "webauthn":
      return [
        detail.device_type?.description !== title && detail.device_type?.description,
        detail.backup_state ? "also on your other devices" : detail.backup_eligible === false && "on one device only",
        `added ${ago(detail.created_on)}`,
        detail.last_used ? `used ${ago(detail.last_used)}` : detail.last_used === null && "not used yet",
      ];
    case "static": {
      const left = detail.token_set.length;
      return [left === 0 ? "all used" : left === 1 ? "1 code left" : `${left} codes left`];
    }
    case "sms": {
      // Only a check value is kept of a number that was not to be stored.
      const digits = detail.phone_number.startsWith("hash:") ? "" : detail.phone_number.replace(/\D/g, "");
      return [digits && `to the number that ends in ${digits.slice(-2)}`];
    }
  }
  return [];
}
