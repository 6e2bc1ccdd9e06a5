// @ts-check
// What a screen reader hears besides the focus.

import { byId } from "./elements.js";

/** @param {string} text Said when the reader has a moment. */
export function announce(text) {
  say("polite", text);
}

/** @param {string} text Said at once. */
export function alarm(text) {
  say("assertive", text);
}

/**
 * @param {"polite" | "assertive"} region
 * @param {string} text
 */
function say(region, text) {
  const element = byId(region);
  element.textContent = "";
  // The same sentence twice is news only if the region was empty in between.
  requestAnimationFrame(() => (element.textContent = text));
}
