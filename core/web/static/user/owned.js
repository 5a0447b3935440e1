// The person's devices as the API tells them: one list over all kinds, and each kind's own for what only it knows.
import { kind, classOf, given } from "../flow/kind.js";
import { api } from "../flow/api.js";

const most = 100; // devices asked for at once
const candidates = 25; // phones of one name that are tried

/**
 * rows: the answer of /authenticators/all/. Resolves to {devices, whole}. A device is {class, kind, key, name, title,
 * path, detail}: title is what to call it, path its address in the API (null where it was not found) and detail what its
 * kind tells. whole is false when some of that could not be read.
 */
export async function owned(me, rows) {
  const devices = rows.map((r) => {
    const name = classOf(r.type);
    const words = kind(name, r.verbose_name).name;
    return {
      class: name, kind: words, key: `${name}-${r.pk}`, pk: r.pk, name: r.name, title: given(name, r.name) ?? words, detail: null,
      path: name && name !== "mobile" ? address(name, r.pk) : null,
    };
  });
  const read = me.is_superuser ? fromAll : fromOwn;
  const results = await Promise.allSettled(["mobile", "webauthn", "static", "sms"].map(async (name) => {
    const mine = devices.filter((d) => d.class === name);
    if (mine.length) await read(name, mine);
  }));
  return { devices, whole: results.every((r) => r.status === "fulfilled") && devices.every((d) => d.path || !d.class) };
}

const address = (name, key) => `/authenticators/${name}/${encodeURIComponent(key)}/`;

// Most people's lists hold their own devices only.
async function fromOwn(name, mine) {
  const { results } = await api("GET", `/authenticators/${name}/?page_size=${most}`);
  for (const d of mine) {
    // Phones have another key here than in the list over all kinds. The two lists have the same phones.
    const at = results.findIndex((r) => (name === "mobile" ? r.name === d.name : r.pk === d.pk));
    if (at >= 0) take(name, d, results.splice(at, 1)[0]);
  }
}

// An administrator's lists hold everybody's devices, but only their own can be opened (core.md §5).
async function fromAll(name, mine) {
  if (name !== "mobile") {
    await Promise.all(mine.map(async (d) => take(name, d, await api("GET", d.path))));
    return;
  }
  for (const deviceName of new Set(mine.map((d) => d.name))) {
    const { results } = await api("GET", `/authenticators/mobile/?name=${encodeURIComponent(deviceName)}&page_size=${candidates}`);
    const opened = await Promise.all(results.map((r) => api("GET", address("mobile", r.pk)).catch(ifForeign)));
    const found = opened.filter(Boolean);
    for (const d of mine.filter((m) => m.name === deviceName)) if (found.length) take("mobile", d, found.shift());
  }
}

function ifForeign(failure) {
  if (failure.status !== 403 && failure.status !== 404) throw failure;
  return null;
}

function take(name, d, detail) {
  d.detail = detail;
  d.path = address(name, detail.pk);
}
