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
   * @param {import("./types.js").Job} origin The job that the face was found by.
   * @param {Drawing} first A drawing of it that is there already.
   * @param {(id: string) => void} onMade Told of every job made, so that it can be deleted with the first.
   */
  constructor(origin, first, onMade) {
    this.origin = origin;
    this.onMade = onMade;
    /** @type {Map<string, Promise<Drawing>>} */
    this.made = new Map([[nameOf(lookOf(first.job)), Promise.resolve(first)]]);
    this.turn = new AbortController();
    this.closed = new AbortController();
  }

  /**
   * The drawing in another look, once no newer one has been asked for.
   *
   * @param {Look} look
   * @returns {Promise<Drawing | null>} Null: a newer call came.
   */
  async draw(look) {
    this.turn.abort();
    this.turn = new AbortController();
    const { signal } = this.turn;
    try {
      if (!this.made.has(nameOf(look))) await pause(REST_SECONDS, signal);
      const drawing = await this.make(look);
      return signal.aborted ? null : drawing;
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    }
  }

  /**
   * Make a drawing whatever else is asked for meanwhile; one that is there or under way is not made again.
   *
   * @param {Look} look
   * @returns {Promise<Drawing>}
   */
  make(look) {
    const name = nameOf(look);
    const known = this.made.get(name);
    if (known) return known;
    const drawing = this.persist(look);
    this.made.set(name, drawing);
    drawing.catch(() => this.made.delete(name)); // The next who asks tries again.
    return drawing;
  }

  /**
   * @param {Look} look
   * @returns {Promise<Drawing>}
   */
  async persist(look) {
    for (;;) {
      try {
        return await this.order(look);
      } catch (error) {
        const rest = shortRest(error);
        if (!rest) throw error;
        await pause(rest, this.closed.signal);
      }
    }
  }

  /**
   * @param {Look} look
   * @returns {Promise<Drawing>}
   */
  async order(look) {
    const { signal } = this.closed;
    const response = await request(this.origin.links.restyle ?? `jobs/${this.origin.id}/restyle`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Prefer: `wait=${WAIT_SECONDS}` },
      body: JSON.stringify(look),
      signal,
    });
    /** @type {import("./types.js").Job} */
    let job = await response.json();
    this.onMade(job.id);
    if (!hasEnded(job)) job = await followJob(job.id, DEAF, signal);
    if (job.state !== "succeeded")
      throw Object.assign(new Error(job.error?.message ?? job.state), { code: job.error?.code ?? job.state });
    return { job, picture: await fetchResult(job.links, signal) };
  }

  /** Forget all pictures, and those that are still being made. */
  close() {
    this.turn.abort();
    this.closed.abort();
    for (const drawing of this.made.values()) drawing.then(({ picture }) => release(picture)).catch(() => {});
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
 * The look in another style. A truncation that was the style's own makes way for the new one's, as in the API.
 *
 * @param {Look} look
 * @param {string} name
 * @param {import("./types.js").Style[]} styles
 * @returns {Look}
 */
export function inStyle(look, name, styles) {
  /** @param {string} style */
  const ownOf = (style) => styles.find((one) => one.name === style)?.truncation;
  const isOwn = look.truncation === ownOf(look.style);
  return { ...look, style: name, truncation: (isOwn ? ownOf(name) : undefined) ?? look.truncation };
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
