// @ts-check
// When something went wrong: what, what to do, and where the server asked for patience, a countdown to the next try.

import { alarm } from "./announcer.js";
import { Problem } from "./api_client.js";
import { connectionHolds, studioPatientlyBack } from "./connection.js";
import { byId } from "./elements.js";
import { pause } from "./pause.js";
import { troubleOf } from "./problem_text.js";
import { showStep } from "./steps.js";

/**
 * Do it, as often as it takes while the trouble is passing and the user stays.
 *
 * @template T
 * @param {() => Promise<T>} attempt
 * @param {AbortSignal} signal
 * @param {(error: unknown) => boolean} [isElsewhere] Whether the trouble is seen to by the caller.
 * @returns {Promise<T>}
 */
export async function persist(attempt, signal, isElsewhere = () => false) {
  for (;;) {
    try {
      const answer = await attempt();
      connectionHolds();
      return answer;
    } catch (error) {
      if (signal.aborted || isElsewhere(error)) throw error;
      await tryAgainAfter(error, signal);
    }
  }
}

/**
 * Show an error and wait until the same may be tried again: after the server's Retry-After, when the studio is
 * back, or at once when the user says so.
 *
 * @param {unknown} error
 * @param {AbortSignal} signal Aborted when the user goes on to something else.
 * @returns {Promise<void>}
 */
export async function tryAgainAfter(error, signal) {
  const failure = failureOf(error);
  const trouble = troubleOf(failure);
  byId("trouble-title").textContent = trouble.title;
  byId("trouble-text").textContent = trouble.text;
  byId("trouble-code").textContent = footnote(failure, error);
  byId("trouble-retry").hidden = !trouble.retry;
  showStep("trouble");
  alarm(`${trouble.title}. ${trouble.text}`);
  await nextTry(error, signal);
}

/**
 * @param {unknown} error
 * @param {AbortSignal} signal
 */
async function nextTry(error, signal) {
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  const ways = [clicked(byId("trouble-retry"), either)];
  if (error instanceof Problem && error.retryAfter) ways.push(countdown(error.retryAfter, either));
  if (error instanceof Problem && error.code === "network") ways.push(backOnline(either), studioPatientlyBack(either));
  try {
    await Promise.race(ways);
  } finally {
    done.abort();
    byId("trouble-countdown").hidden = true;
    for (const way of ways) way.catch(() => {}); // The ways not taken end with the abort.
  }
}

/**
 * @param {number} seconds
 * @param {AbortSignal} signal
 */
async function countdown(seconds, signal) {
  const line = byId("trouble-countdown");
  line.hidden = false;
  for (let left = Math.ceil(seconds); left > 0; left -= 1) {
    line.textContent = `Next try in ${left} s`;
    await pause(1, signal);
  }
}

/**
 * @param {EventTarget} target
 * @param {AbortSignal} signal
 * @param {string} [event]
 * @returns {Promise<void>}
 */
function clicked(target, signal, event = "click") {
  return new Promise((resolve, reject) => {
    target.addEventListener(event, () => resolve(), { once: true, signal });
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** @param {AbortSignal} signal */
function backOnline(signal) {
  return clicked(window, signal, "online");
}

/**
 * @param {unknown} error
 * @returns {{code: string, title?: string, message?: string}}
 */
function failureOf(error) {
  if (error instanceof Error && "code" in error && typeof error.code === "string") {
    return { code: error.code, title: "title" in error ? String(error.title) : "", message: error.message };
  }
  console.error(error); // A mistake of this page, not of the world: developers want its stack.
  return { code: "page" };
}

/**
 * @param {{code: string}} failure
 * @param {unknown} error
 */
function footnote({ code }, error) {
  const request = error instanceof Problem && error.requestId ? `, request ${error.requestId}` : "";
  return `Code for the keeper of the studio: ${code}${request}`;
}
