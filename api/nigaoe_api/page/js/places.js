// @ts-check
// The places of a visit in the browser's history, so that Back and Forward stay inside the page: the welcome, a sitting
// (a photo and whom of it to draw), and prints, which the page's address names.

/**
 * @typedef {object} Place
 * @property {"welcome" | "sitting" | "print"} kind
 * @property {string} id Of the sitting or the print; empty for the welcome.
 * @property {string} [signature] Of a print that somebody else has shared.
 */

const PRINT = /^#([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.([\w-]+))?$/;

/** @type {Place} */
export const WELCOME = { kind: "welcome", id: "" };

/** @returns {Place} Where the browser's history stands. */
export function currentPlace() {
  const [, id, signature] = PRINT.exec(location.hash) ?? [];
  if (id) return { kind: "print", id, signature };
  return history.state?.kind === "sitting" ? history.state : WELCOME;
}

/**
 * Go somewhere else by a step that Back undoes. One photo after the other is one step: only the last is kept.
 *
 * @param {Place} place
 * @param {{instead?: boolean}} [how] `instead`: Back shall not lead to where the visitor is now.
 */
export function enter({ kind, id }, { instead = false } = {}) {
  const here = currentPlace();
  const isHere = here.kind === kind && (kind !== "print" || here.id === id);
  const url = kind === "print" ? `#${id}` : location.pathname + location.search;
  if (instead || isHere) history.replaceState({ kind, id }, "", url);
  else history.pushState({ kind, id }, "", url);
}

/** @param {(place: Place) => void} onPlace Told when Back, Forward or another address leads to a place. */
export function watchPlaces(onPlace) {
  addEventListener("popstate", () => onPlace(currentPlace()));
}
