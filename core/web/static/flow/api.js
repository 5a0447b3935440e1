// Requests to the API.

/** The value of the CSRF cookie, "" where there is none. */
export function csrf() {
  const pair = document.cookie.split("; ").find((c) => c.startsWith("authentik_csrf="));
  return pair ? decodeURIComponent(pair.slice(pair.indexOf("=") + 1)) : "";
}

/** The fetch options of a request with an optional JSON body. */
export function request(method, body, signal) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-authentik-CSRF"] = csrf();
  if (body !== undefined && body !== null) headers["Content-Type"] = "application/json";
  return {
    method, headers, signal, credentials: "same-origin", cache: "no-store",
    body: body === undefined || body === null ? undefined : JSON.stringify(body),
  };
}

/** An answer that is a failure: status 0 is none at all. The message is for people. */
export class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** One API call below /api/v3; resolves to the JSON body (null for 204), rejects with a Failure. */
export async function api(method, path, body, signal) {
  let response;
  try {
    response = await fetch("/api/v3" + path, request(method, body, signal));
  } catch {
    throw new Failure(0, "The server cannot be reached. Look at your connection and try again.");
  }
  if (response.status === 204) return null;
  const data = await response.json().catch(() => null);
  if (response.ok && data !== null) return data;
  throw new Failure(response.status, explain(response, data));
}

/** What to tell a person about a failed response. */
export function explain(response, data) {
  if (typeof data?.detail === "string" && response.status < 500) return data.detail;
  if (response.status === 400 && data) {
    const texts = Object.values(data).flat().filter((t) => typeof t === "string");
    if (texts.length) return texts.join(" ");
  }
  if (response.status === 503) return "The server is busy or starting. Try again in a moment.";
  const id = response.headers.get("X-authentik-id");
  return "Something went wrong on our side. Try again." + (id ? ` If it stays that way, name this number: ${id}` : "");
}

/** Resolves after ms milliseconds; at once when the signal is aborted. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
