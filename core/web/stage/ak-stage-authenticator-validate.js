// The second factor: which of the person's devices, then that device's own page; or, without any, which kind to set up.
import { h, icon } from "../flow/dom.js";
import { kind, classOf } from "../flow/kind.js";

export default function render(ctx) {
  let challenge = ctx.challenge;
  let inner = {}; // the device page on show
  let leave = new AbortController(); // aborted when the device page is left
  const kinds = new Map(); // device_class → its module
  const root = h("div");
  ctx.root.append(root);

  const offered = () => challenge.device_challenges ?? [];
  const find = (d) => offered().find((o) => o.device_class === d.device_class && o.device_uid === d.device_uid) ?? d;

  function clear() {
    leave.abort();
    leave = new AbortController();
    inner.destroy?.();
    inner = {};
    root.replaceChildren();
  }

  function choices(list) {
    root.append(h("ul", { class: "choices" }, list.map(({ name, hint, icon: picture, go }) =>
      h("li", {}, h("button", { type: "button", class: "choice", on: { click: go } }, icon(picture),
        h("span", {}, h("strong", { text: name }), hint && h("small", { text: hint })))))));
    root.querySelector("button").focus();
  }

  function choose() {
    if (usable().length === 1) return open(usable()[0]);
    clear();
    ctx.heading("How do you want to confirm?");
    choices(offered().filter((d) => kinds.has(d.device_class))
      .map((d) => ({ ...kinds.get(d.device_class).label(d), go: () => open(d) })));
  }

  function open(device) {
    clear();
    const signal = leave.signal;
    const mine = {
      ...ctx, root, signal, // Asked for anew each time: what is offered may change under the page.
      get choose() { return usable().some((d) => d.device_class !== device.device_class || d.device_uid !== device.device_uid) ? choose : null; },
      challenge, get device() { return find(device); },
      submit: async (body, options) => (signal.aborted ? null : later(await ctx.submit(body, options), signal)),
    };
    inner = kinds.get(device.device_class).default(mine) ?? {};
    inner.focus?.();
  }

  // An answer to a page that was left meanwhile is nobody's.
  const later = (answer, signal) => (signal.aborted ? null : answer);
  const usable = () => offered().filter((d) => kinds.has(d.device_class));

  function configure(stages) {
    ctx.heading("Protect your account");
    root.append(h("p", { text: "Signing in here needs a second step. Choose what to set up." }));
    const error = h("p", { class: "notice bad", role: "alert" });
    inner = { update: (c) => (error.textContent = Object.values(c.response_errors ?? {}).flat().map((e) => e.string).join(" ")) };
    const classes = stages.map((s) => classOf(s.meta_model_name));
    choices(stages.map((s, i) => {
      const words = kind(classes[i], s.name);
      // Two of a kind are told apart by the names that the administrator gave them.
      const twin = classes.filter((c) => c === classes[i]).length > 1 && words.name !== s.name;
      return { ...words, name: twin ? `${words.name}: ${s.name}` : words.name, go: () => ctx.submit({ selected_stage: s.pk }) };
    }));
    root.append(error);
  }

  async function start() {
    const classes = new Set(offered().map((d) => d.device_class).filter((c) => ctx.config.devices.has(c)));
    await Promise.all([...classes].map(async (c) => {
      try {
        kinds.set(c, await import(`../device/${c}.js`));
      } catch {
        // Left out: the others may do. Without any the page says so below.
      }
    }));
    if (ctx.signal.aborted) return;
    if (usable().length === 1) open(usable()[0]);
    else if (usable().length) choose();
    else if (challenge.configuration_stages?.length) configure(challenge.configuration_stages);
    else {
      ctx.heading("This step cannot be shown");
      root.append(h("p", { text: "This page does not know how to ask your device. Ask your administrator." }),
        h("p", {}, h("button", { type: "button", class: "button primary full", text: "Load again", on: { click: () => location.reload() } })));
    }
  }

  ctx.heading("Confirm that it is you");
  start();
  return {
    update(next) {
      challenge = next;
      inner.update?.(next);
    },
    destroy: clear,
  };
}
