// The executor's protocol: challenges in, answers out, and what to do while the server is away.
import { request, explain, Failure } from "./api.js";

// Seconds between tries while the server is away; the last one stays.
const delays = [1, 2, 3, 5, 8, 13, 20];
const limit = 30_000; // ms for an ordinary answer
const heldLimit = 90_000; // ms for one that the server may hold back: it answers within 50 s

// No answer, or one that says "later": worth trying again.
class Away extends Error {
  constructor(status, after) {
    super("the server is away");
    this.status = status; // 0: nothing came back
    this.after = after; // seconds, or 0
  }
}

/**
 * Talks to one flow's executor. onAway is called with {status, seconds, retry} for each wait while the server is away,
 * and with null when it is back.
 */
export function executor(slug, onAway) {
  const query = encodeURIComponent(location.search.slice(1));
  const url = `/api/v3/flows/executor/${encodeURIComponent(slug)}/?query=${query}`;
  let skew = 0; // the server's clock minus ours, ms
  let away = false;

  async function once(method, body, held, signal) {
    const controller = new AbortController();
    const abort = () => controller.abort();
    signal.addEventListener("abort", abort, { once: true });
    const timer = setTimeout(abort, held ? heldLimit : limit);
    try {
      const response = await fetch(url, request(method, body, controller.signal));
      const date = Date.parse(response.headers.get("Date"));
      // The header has whole seconds: what is less apart is not apart.
      if (date) skew = Math.abs(date - Date.now()) < 2000 ? 0 : date - Date.now();
      if ([502, 503, 504].includes(response.status)) {
        throw new Away(response.status, Number(response.headers.get("Retry-After")) || 0);
      }
      const text = await response.text();
      let data = null;
      try {
        data = JSON.parse(text);
      } catch {
        // Not ours: explained by its status below.
      }
      if (!response.ok || typeof data?.component !== "string") {
        throw new Failure(response.status, explain(response, data));
      }
      return { challenge: data, moved: response.redirected };
    } catch (error) {
      if (error instanceof Failure || error instanceof Away) throw error;
      throw new Away(0, 0);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }

  // Waits for the next try: the time is over, the person asks for it, or the browser sees a network again.
  function wait(error, tries, signal) {
    away = true;
    const seconds = Math.min(60, Math.max(error.after, delays[Math.min(tries, delays.length - 1)])) + Math.random() / 2;
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        window.removeEventListener("online", done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, seconds * 1000);
      window.addEventListener("online", done);
      signal.addEventListener("abort", done);
      onAway({ status: error.status, seconds: Math.round(seconds), retry: done });
    });
  }

  function back() {
    if (away) onAway(null);
    away = false;
  }

  /** Runs fn until it fails otherwise than by an absent server. Null when the signal was aborted. */
  async function persist(fn, signal) {
    for (let tries = 0; ; tries++) {
      try {
        const result = await fn(tries);
        back();
        return signal.aborted ? null : result;
      } catch (error) {
        if (signal.aborted) return null;
        if (!(error instanceof Away)) {
          back();
          throw error;
        }
        await wait(error, tries, signal);
        if (signal.aborted) return null;
      }
    }
  }

  return {
    now: () => Date.now() + skew,
    signalAway: () => new Away(0, 0),
    persist,

    /** The current challenge: {challenge, moved: true}. */
    get: (signal) => persist(async () => ({ ...(await once("GET", null, false, signal)), moved: true }), signal),

    /**
     * Answers the current stage. moved tells whether the answer went on to another stage (a 302 was followed).
     *
     * After a broken connection nobody knows whether the answer arrived, so it is not simply sent again: the flow is
     * asked where it stands, and only where it still stands at this stage the answer is repeated. A 503 says that
     * it was not taken, and held answers only ask: both are repeated as they are, but a held one that begins with what is
     * not to happen twice as again.
     */
    post(body, { held, again, component, signal }) {
      let doubtful = false;
      return persist(async (tries) => {
        if (doubtful) {
          const found = await once("GET", null, false, signal);
          if (found.challenge.component !== component) return { ...found, moved: true };
          doubtful = false;
        }
        try {
          return await once("POST", tries && again ? again : body, held, signal);
        } catch (error) {
          doubtful = error instanceof Away && error.status !== 503 && !held;
          throw error;
        }
      }, signal);
    },
  };
}
