// @ts-check
// What this browser remembers: the ids of its prints, nothing else.

const STORED_AS = "nigaoe.prints";
const LONGEST = 24;

/** @typedef {{id: string, kin: string[]}} Entry A face; `kin`: its other looks, made by restyling and erased with it. */

/** @returns {Entry[]} Newest first. */
export function remembered() {
  try {
    const entries = JSON.parse(localStorage.getItem(STORED_AS) ?? "[]");
    return Array.isArray(entries)
      ? entries.filter((entry) => typeof entry?.id === "string" && Array.isArray(entry.kin))
      : [];
  } catch {
    return []; // Storage is forbidden, or something else wrote there.
  }
}

/** @param {string} id */
export function remember(id) {
  const others = remembered().filter((entry) => entry.id !== id);
  store([{ id, kin: [] }, ...others].slice(0, LONGEST));
}

/**
 * @param {string} id
 * @param {string} kin
 */
export function rememberKin(id, kin) {
  if (kin === id) return; // Its own look was asked for again.
  store(remembered().map((entry) => (entry.id === id ? { id, kin: [...new Set([...entry.kin, kin])] } : entry)));
}

/** @param {string[]} ids */
export function forget(ids) {
  const left = remembered().filter((entry) => !ids.includes(entry.id));
  store(left.map(({ id, kin }) => ({ id, kin: kin.filter((look) => !ids.includes(look)) })));
}

/** @param {() => void} listener Called when this tab or another one changes what is remembered. */
export function watchHistory(listener) {
  addEventListener("storage", (event) => event.key === STORED_AS && listener());
  addEventListener(STORED_AS, listener);
}

/** @param {Entry[]} entries */
function store(entries) {
  try {
    localStorage.setItem(STORED_AS, JSON.stringify(entries));
  } catch {
    return; // Full or forbidden: the page works without a memory.
  }
  dispatchEvent(new Event(STORED_AS));
}
