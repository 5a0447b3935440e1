// The service worker, and what it rings for.
import * as watch from "./watch.js";

/** Starts the service worker, and looks when it says that there is something. Without one the page works as well. */
export async function work() {
  if (!navigator.serviceWorker) return;
  navigator.serviceWorker.addEventListener("message", () => watch.look().catch(() => {}));
  const script = "/if/phone/sw.js";
  const url = window.trustedTypes?.createPolicy("countersign-phone", { createScriptURL: () => script }).createScriptURL("") ?? script;
  await navigator.serviceWorker.register(url, { scope: "/if/phone/" }).catch(() => {});
}
