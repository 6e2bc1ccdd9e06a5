// @ts-check
// Which part of the page is there: the welcome, or the studio at one of its steps.

import { byId } from "./elements.js";

/** @typedef {"reading" | "faces" | "style" | "drawing" | "finished" | "shared" | "trouble"} Step */

/** Show the welcome again. */
export function showWelcome() {
  toggleStudio(false);
  document.body.removeAttribute("data-at");
}

/**
 * Show one step of the studio and put the focus on its heading, so that it is read and the next Tab goes on from there.
 *
 * @param {Step} step
 */
export function showStep(step) {
  const changed = document.body.dataset.at !== step;
  toggleStudio(true);
  document.body.dataset.at = step;
  for (const section of byId("panel").querySelectorAll("section")) section.hidden = section.dataset.step !== step;
  if (!changed) return;
  const heading = byId("panel").querySelector(`[data-step="${step}"] h1`);
  if (heading instanceof HTMLElement) heading.focus({ preventScroll: true });
  scrollTo({ top: 0 }); // On a phone the picture is above, and every step begins with it.
}

/** @returns {Step | null} */
export function currentStep() {
  return /** @type {Step | undefined} */ (document.body.dataset.at) ?? null;
}

/** @param {boolean} open */
function toggleStudio(open) {
  byId("studio").hidden = !open;
  byId("welcome").hidden = open;
  byId("how").hidden = open;
}
