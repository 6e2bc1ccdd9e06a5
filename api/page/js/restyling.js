// @ts-check
// Other styles and degrees of a finished drawing, decoded again from its latent: asked for when the hand rests, kept
// once made.

import { Problem, getJob, request } from "./api_client.js";
import { followJob, hasEnded } from "./job_follower.js";
import { pause } from "./pause.js";
import { fetchResult, release } from "./pictures.js";

const REST_SECONDS = 0.22;
const LONGEST_REST_SECONDS = 10;
const WAIT_SECONDS = 20;

/** Nobody watches a restyle. @type {import("./job_follower.js").Watch} */
const DEAF = { job() {}, progress() {}, preview() {} };

/** @typedef {{style: string, degree: number, truncation: number, colours: number}} Look */

/**
 * @typedef {object} Drawing
 * @property {import("./types.js").Job} job
 * @property {import("./pictures.js").Picture} picture
 */

export class Restyler {
  /**
   * @param {Drawing} first The drawing that all others are made from.
   * @param {(id: string) => void} onMade Told of every job made, so that it can be deleted with the first.
   */
  constructor(first, onMade) {
    this.parent = first.job;
    this.onMade = onMade;
    /** @type {Map<string, Drawing>} */
    this.made = new Map([[nameOf(lookOf(first.job)), first]]);
    this.turn = new AbortController();
    this.failures = 0;
  }

  /**
   * The drawing in another look; a newer call ends an older one that has not been answered.
   *
   * @param {Look} look
   * @returns {Promise<Drawing | null>} Null: a newer call came.
   */
  async draw(look) {
    this.turn.abort();
    this.turn = new AbortController();
    const { signal } = this.turn;
    const known = this.made.get(nameOf(look));
    if (known) return known;
    for (let rest = REST_SECONDS; ;) {
      try {
        await pause(rest, signal);
        const drawing = await this.make(look, signal);
        return signal.aborted ? null : drawing;
      } catch (error) {
        if (signal.aborted) return null;
        rest = shortRest(error);
        if (!rest) throw error;
      }
    }
  }

  /**
   * Make a drawing whatever else is asked for meanwhile.
   *
   * @param {Look} look
   * @param {AbortSignal} [signal] Ends the waiting for the picture, not the making.
   * @returns {Promise<Drawing>}
   */
  async make(look, signal = new AbortController().signal) {
    const known = this.made.get(nameOf(look));
    if (known) return known;
    const response = await request(this.parent.links.restyle ?? `jobs/${this.parent.id}/restyle`, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Prefer: `wait=${WAIT_SECONDS}`,
        // The same look of the same drawing is the same order: a visitor who comes back finds it made.
        "Idempotency-Key": `${this.parent.id} ${nameOf(look)} ${this.failures}`,
      },
      body: JSON.stringify(look),
    });
    /** @type {import("./types.js").Job} */
    let job = await response.json();
    this.onMade(job.id);
    if (!hasEnded(job)) job = await followJob(job.id, DEAF, signal);
    if (job.state !== "succeeded") {
      this.failures += 1; // Or the next order would be answered with this failure again.
      throw Object.assign(new Error(job.error?.message ?? job.state), { code: job.error?.code ?? job.state });
    }
    const drawing = { job, picture: await fetchResult(job) };
    this.made.set(nameOf(look), drawing);
    return drawing;
  }

  /** Forget all pictures. */
  close() {
    this.turn.abort();
    for (const { picture } of this.made.values()) release(picture);
  }
}

/**
 * Who slides fast asks often; where the server wants a short rest for that, it gets it.
 *
 * @param {unknown} error
 * @returns {number} Seconds; 0: not that kind of error.
 */
function shortRest(error) {
  const seconds = error instanceof Problem ? (error.retryAfter ?? 0) : 0;
  return seconds <= LONGEST_REST_SECONDS ? seconds : 0;
}

/**
 * @param {import("./types.js").Job} job
 * @returns {Look}
 */
export function lookOf({ options: { style, degree, truncation, colours } }) {
  return { style, degree, truncation, colours };
}

/** @param {Look} look */
function nameOf({ style, degree, truncation, colours }) {
  return [style, ...[degree, truncation, colours].map((share) => share.toFixed(2))].join(" ");
}

/** The job that a drawing can be restyled from: a restyle's latent is its parent's.
 *
 * @param {import("./types.js").Job} job
 * @returns {Promise<import("./types.js").Job>}
 */
export async function originOf(job) {
  return job.parent_id ? getJob(job.parent_id).catch(() => job) : job;
}
