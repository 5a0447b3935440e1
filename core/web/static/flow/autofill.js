// Passkeys among the suggestions of the name field: whoever picks one there is signed in without saying a name.
import { request } from "./api.js";
import { safeURL } from "./dom.js";
import { hindrance, get, complaint } from "./passkey.js";

// A little longer than a challenge lives: then the flow gives a new one.
const life = 10 * 60_000 + 5000;

/**
 * Offers the passkeys of another flow, whose page is at url, in an input. That flow is walked beside the one on show; the
 * browser goes there once a passkey was used. error is called with a text for the person.
 */
export async function autofill({ url, input, signal, error }) {
  const flow = page(url);
  if (!flow || hindrance() || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  const executor = `/api/v3/flows/executor/${flow.slug}/?query=${encodeURIComponent(flow.url.search.slice(1))}`;
  input.autocomplete = "username webauthn";
  while (!signal.aborted) {
    const round = new AbortController();
    const end = () => round.abort();
    signal.addEventListener("abort", end, { once: true });
    const timer = setTimeout(end, life);
    try {
      const options = anyones(await ask(executor, "GET", null, signal));
      if (!options) return;
      const credential = await get(options, round.signal, "conditional");
      const answer = await ask(executor, "POST", { webauthn: credential }, signal);
      const problem = anyones(answer) && complaint(answer, "webauthn");
      if (!problem) return location.assign(safeURL(answer.to) ?? flow.url.href);
      error(problem);
    } catch (failure) {
      // Without suggestions the page works as it did; a round whose time was over is followed by another.
      if (failure.name !== "AbortError") return;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
    }
  }
}

function page(url) {
  const target = safeURL(url) && new URL(url, location.href);
  const slug = target && /^\/if\/flow\/([^/]+)\/$/.exec(target.pathname)?.[1];
  return slug && target.origin === location.origin ? { slug, url: target } : null;
}

async function ask(executor, method, body, signal) {
  const response = await fetch(executor, request(method, body, signal));
  if (!response.ok) throw new Error(response.statusText);
  return response.json();
}

const anyones = (challenge) => challenge.device_challenges?.find((d) => d.device_class === "webauthn" && d.device_uid === "-1")?.challenge;
