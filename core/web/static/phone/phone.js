// The phone as a page: see doc.go. This is where it begins.
import { h } from "../flow/dom.js";
import { introduce, settle } from "./account.js";
import { added, choose, confirm, offer } from "./add.js";
import { detail } from "./detail.js";
import { past } from "./history.js";
import { move } from "./move.js";
import { home } from "./home.js";
import { request } from "./request.js";
import { scan } from "./scan.js";
import { add, button, go, render, shown } from "./screen.js";
import { tellAll, work } from "./push.js";
import * as store from "./store.js";
import * as watch from "./watch.js";

// Screens in whose midst nobody is to be taken away by a question: it is announced there instead.
const busyScreens = ["add", "scan", "enrol", "added", "move"];

const notice = document.getElementById("notice");

add({ home, add: choose, scan, enrol: confirm, added, account: detail, history: past, move, request });

function changed() {
  const asked = watch.waiting().length > 0;
  if (asked && shown() !== "request" && !busyScreens.includes(shown()) && !document.querySelector("dialog[open]")) return go("request");
  connection(asked && shown() !== "request");
}

function connection(asked) {
  const offline = navigator.onLine === false;
  notice.replaceChildren(...[
    offline && h("p", { class: "notice", text: "This phone is offline. Requests come in when it is back." }),
    asked && h("p", { class: "notice", text: "A request waits for your answer." }),
    asked && button("See it", () => go("request"), "primary"),
  ].filter(Boolean));
}

/** Takes the code out of the address: it is a secret, and works once. */
function opened() {
  const code = decodeURIComponent(location.hash.slice(1));
  if (!code) return false;
  history.replaceState({ screen: "home", with: null, depth: 0 }, "", location.pathname);
  go(offer(code) ? "add" : "enrol");
  return true;
}

/** Finishes what an earlier visit had to leave, then watches. */
async function begin() {
  for (const account of await store.accounts()) if (account.next) await settle(account).catch(() => {});
  await watch.start();
  for (const account of await store.accounts()) await introduce(account).catch(() => {}); // at the next visit, then
}

if (!window.isSecureContext || !crypto.subtle || !window.indexedDB) {
  add({ home: ({ show }) => show("This page needs more of your browser", [
    h("p", { text: window.isSecureContext ? "This browser cannot keep keys. Use a newer one." : "It works over a secure connection only. Open it with https:// in front of its address." }),
  ]) });
  history.replaceState(null, "", location.pathname);
  render(false);
} else {
  // A page that was restored or loaded anew begins where nothing half done is left.
  if (!["home", "add", "history", "account"].includes(shown())) history.replaceState({ screen: "home", with: null, depth: 0 }, "");
  watch.changes.addEventListener("change", changed);
  for (const event of ["online", "offline"]) addEventListener(event, () => connection(false));
  addEventListener("online", begin);
  addEventListener("hashchange", opened);
  if (!opened()) render(false);
  connection(false);
  begin();
  work().then(tellAll).catch(() => {}); // told again when the page is opened next
}
