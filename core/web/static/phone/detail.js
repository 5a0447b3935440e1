// One account: its name here, what protects it, and the way to remove it.
import { h } from "../flow/dom.js";
import { field } from "../flow/form.js";
import { ask } from "../user/dialog.js";
import { renew } from "./account.js";
import { ringing } from "./push.js";
import { announce, busy, button, go, isBusy, trouble } from "./screen.js";
import * as store from "./store.js";
import * as watch from "./watch.js";

export async function detail({ show, signal, with: device }) {
  const account = await store.account(device);
  if (!account) return go("home", { instead: true });
  const again = () => detail({ show, signal, with: device });
  const kept = await navigator.storage?.persisted?.().catch(() => false);
  const wrong = trouble();
  const fresh = button("Make a new key", async () => {
    if (isBusy(fresh)) return;
    wrong.textContent = "";
    busy(fresh, true);
    try {
      await renew(account);
      await watch.start();
      if (signal.aborted) return;
      await again();
      announce("This phone has a new key.");
    } catch (failure) {
      wrong.textContent = failure.message;
      busy(fresh, false);
    }
  });
  const facts = [
    ["Server", new URL(account.server).host], ["This phone", account.phone],
    ["Added", new Date(account.added).toLocaleDateString([], { dateStyle: "long" })],
    ["Key", account.renewed ? `Made ${new Date(account.renewed).toLocaleString([], { dateStyle: "long", timeStyle: "short" })}.` : "Made when the account was added."],
    ["You", account.passkey ? "Your fingerprint, face or screen lock is asked for with each approval." : "Whoever can unlock this phone can approve."],
    ["Rung", (await ringing().catch(() => "")) === "on" && account.rung ? "Yes, by your browser’s push service." : "No. Open this page when you sign in."],
    ["Storage", kept ? "The browser keeps it until you remove it." : "The browser may clear it when room gets short, or after weeks without a visit. Have a recovery code at hand."],
  ];
  show(account.name, [
    account.gone && h("p", { class: "notice", text: "The server does not know this phone any more: it was removed from the account. Remove it here, too." }),
    h("dl", { class: "facts prose" }, facts.map(([name, text]) => h("div", {}, h("dt", { text: name }), h("dd", { text })))),
    wrong,
    button("Rename", () => rename(account, again)),
    !account.gone && fresh,
    !account.gone && button("Move to a new phone", () => go("move", { with: device })),
    h("div", { class: "gap" }, button("Remove from this phone…", () => remove(account), "danger")),
  ], { back: "Back" });
}

async function rename(account, again) {
  const name = field({ name: "name", label: "Name of the account, on this phone", value: account.name });
  name.input.maxLength = 64;
  const done = await ask({
    title: "Rename the account", action: "Rename", fields: [name], content: [name.element],
    act: () => store.change(account.device, { name: name.input.value.trim() }),
  });
  if (done) {
    await watch.start();
    again();
  }
}

async function remove(account) {
  const done = await ask({
    title: `Remove ${account.name}?`, action: "Remove", danger: true,
    content: [
      h("p", { text: "Its key is deleted from this phone, for good. Sign-ins cannot be approved here any more." }),
      !account.gone && h("p", { text: "Your account still lists this phone: take it off there as well, and see that you have another way to sign in." }),
    ].filter(Boolean),
    act: () => store.forget(account.device),
  });
  if (!done) return;
  await watch.start();
  go("home", { instead: true });
}
