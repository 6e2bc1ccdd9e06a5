// @ts-check
// Whether the studio can be reached: told in a line at the top, and waited for by whatever needs it.

import { address } from "./api_client.js";
import { byId } from "./elements.js";
import { pause } from "./pause.js";

/** Together under three seconds: so soon the visitor hears of a studio that has fallen silent. */
const SILENCE_SECONDS = 1;
const ANSWER_SECONDS = 1.4;
const TICK_SECONDS = 0.25;
/** A studio with much to do is slow: it is told of as silent, but not given up so soon. */
const GIVE_UP_SECONDS = 6;
const PROBE_SECONDS = 1;
const OPENING_SECONDS = 3;
const FIRST_PATIENCE_SECONDS = 1.5;
const LONGEST_PATIENCE_SECONDS = 60;

const OFFLINE = "You’re offline. A drawing under way goes on without you.";
const LOST = "The studio isn’t answering. This page carries on by itself as soon as it’s back.";
const OPENING = "The studio is still laying out its brushes. You can already send a photo.";

let isLost = false;
let isOpening = false;
let heardAt = performance.now();
/** Grows from one broken request to the next: a photo that a network will not carry is not sent for ever. */
let patience = FIRST_PATIENCE_SECONDS;

/** Watch the network, and the studio until it is ready. */
export function watchConnection() {
  addEventListener("offline", tell);
  addEventListener("online", () => lookForStudio());
  lookForStudio();
}

/** The studio has given a sign of life. */
export function heard() {
  heardAt = performance.now();
  if (isLost) setLost(false);
}

/** The studio answers, but cannot do its work now: whoever finds that out tries again by itself. */
export function faltered() {
  setLost(true);
}

/**
 * Ask for signs of life while a drawing is waited for.
 *
 * @param {AbortSignal} signal Ends the asking.
 * @returns {AbortSignal} Aborted when the studio has fallen silent.
 */
export function whileAnswering(signal) {
  const silent = new AbortController();
  ask(silent, signal).catch(() => {}); // It ends with the signal.
  return silent.signal;
}

/**
 * @param {AbortController} silent
 * @param {AbortSignal} signal
 */
async function ask(silent, signal) {
  for (heardAt = performance.now(); ; await pause(TICK_SECONDS, signal)) {
    if (performance.now() - heardAt < SILENCE_SECONDS * 1000) continue;
    const isSlow = setTimeout(() => signal.aborted || setLost(true), ANSWER_SECONDS * 1000);
    const isThere = await answers(signal);
    clearTimeout(isSlow);
    if (!isThere) break;
    heard();
  }
  signal.throwIfAborted();
  setLost(true);
  silent.abort();
}

/**
 * Wait until the studio answers; at once, if it does.
 *
 * @param {AbortSignal} signal
 */
export async function studioBack(signal) {
  while (!(await answers(signal))) {
    signal.throwIfAborted();
    setLost(true);
    await pause(PROBE_SECONDS, signal);
  }
  heard();
}

/**
 * Wait until a request that got no answer may be sent again.
 *
 * @param {AbortSignal} signal
 */
export async function studioPatientlyBack(signal) {
  const seconds = patience;
  patience = Math.min(2 * patience, LONGEST_PATIENCE_SECONDS);
  await pause(seconds, signal);
  await studioBack(signal);
}

/** A request got through. */
export function connectionHolds() {
  patience = FIRST_PATIENCE_SECONDS;
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>}
 */
async function answers(signal) {
  try {
    const limits = AbortSignal.any([signal, AbortSignal.timeout(GIVE_UP_SECONDS * 1000)]);
    const response = await fetch(address("livez"), { cache: "no-store", signal: limits });
    await response.text(); // An answer that is never read keeps its connection.
    return response.ok;
  } catch {
    return false;
  }
}

/** @param {boolean} lost */
function setLost(lost) {
  isLost = lost;
  tell();
}

async function lookForStudio() {
  isOpening = !(await isReady());
  tell();
  if (isOpening && navigator.onLine) setTimeout(lookForStudio, OPENING_SECONDS * 1000);
}

/** @returns {Promise<boolean>} */
async function isReady() {
  try {
    const response = await fetch(address("readyz"));
    await response.text();
    return response.ok;
  } catch {
    return false;
  }
}

function tell() {
  const text = !navigator.onLine ? OFFLINE : isLost ? LOST : isOpening ? OPENING : "";
  const banner = byId("banner");
  if (banner.textContent !== text) banner.textContent = text; // The same words again would be read out again.
  banner.hidden = !text;
}
