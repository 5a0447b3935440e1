// What this phone keeps, in IndexedDB: its accounts with their keys, and what was asked of it.
//
//   accounts  by device: {device, server, token, serverKey, key: {privateKey, jwk, thumbprint}, name, added, …}
//   history   what was asked and how it ended; the newest ones
//
// Private keys are kept as CryptoKey objects that cannot be exported: they can be used here and read nowhere.

const kept = 200; // entries of the history

let opened;

/** Opens the database once. Rejects where the browser keeps nothing, in some private windows for example. */
function open() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("countersign-phone", 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("accounts", { keyPath: "device" });
      request.result.createObjectStore("history", { keyPath: "id", autoIncrement: true });
    };
    request.onsuccess = () => {
      request.result.onversionchange = () => request.result.close();
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/** Runs one transaction; resolves to what the request in it found, once all is on the disk. */
async function run(store, mode, act) {
  const db = await open();
  return new Promise((resolve, reject) => {
    const tx = db.transaction(store, mode, { durability: "strict" });
    const request = act(tx.objectStore(store));
    tx.oncomplete = () => resolve(request?.result);
    tx.onabort = tx.onerror = () => reject(tx.error);
  });
}

/** The accounts, oldest first. */
export async function accounts() {
  return (await run("accounts", "readonly", (s) => s.getAll())).sort((a, b) => a.added - b.added);
}

/** The account of a device, or undefined. */
export const account = (device) => run("accounts", "readonly", (s) => s.get(device));

/** Stores an account. */
export const keep = (account) => run("accounts", "readwrite", (s) => s.put(account));

/** Changes some members of an account, if it is still there; resolves to what it is now. */
export async function change(device, members) {
  let now;
  await run("accounts", "readwrite", (s) => {
    s.get(device).onsuccess = ({ target }) => {
      if (target.result) s.put((now = { ...target.result, ...members }));
    };
  });
  return now;
}

/** Forgets an account, its keys, and what was asked of it. */
export async function forget(device) {
  await run("accounts", "readwrite", (s) => s.delete(device));
  await run("history", "readwrite", (s) => {
    s.openCursor().onsuccess = ({ target: { result: cursor } }) => {
      if (!cursor) return;
      if (cursor.value.device === device) cursor.delete();
      cursor.continue();
    };
  });
}

/** Remembers what was asked and how it ended. The oldest entries make room. */
export async function remember(entry) {
  await run("history", "readwrite", (s) => {
    s.add(entry);
    s.getAllKeys().onsuccess = ({ target: { result: keys } }) => keys.slice(0, -kept).forEach((key) => s.delete(key));
  });
}

/** What was asked, newest first. */
export async function history() {
  return (await run("history", "readonly", (s) => s.getAll())).reverse();
}

/** Asks the browser not to clear what is kept here when room gets short; resolves to whether it promised. */
export async function persist() {
  try {
    return (await navigator.storage.persisted()) || (await navigator.storage.persist());
  } catch {
    return false;
  }
}
