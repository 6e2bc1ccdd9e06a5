// @ts-check
// Following a job to its end: by server-sent events while they flow, by asking where they do not.

import { Problem, getJob, request } from "./api_client.js";
import { faltered, heard, studioBack, whileAnswering } from "./connection.js";
import { readEvents } from "./event_stream.js";
import { pause } from "./pause.js";

/** Broken streams in a row after which the follower only asks: some proxies hold events back. */
const STREAM_TRIES = 3;
const REFRESH_SECONDS = 3;
const LONG_POLL_SECONDS = 20;
const LONGEST_PAUSE_SECONDS = 15;

/**
 * @typedef {object} Sketch
 * @property {Blob} picture What the search has found so far.
 * @property {Blob | null} drawing What the style makes of it, where the search itself is not drawn.
 */

/**
 * @typedef {object} Watch
 * @property {(job: import("./types.js").Job) => void} job
 * @property {(progress: import("./types.js").Progress) => void} progress
 * @property {(sketch: Sketch) => void} preview
 */

/** @param {import("./types.js").Job} job */
export function hasEnded(job) {
  return job.state !== "queued" && job.state !== "running";
}

/**
 * @param {string} id
 * @param {Watch} watch
 * @param {AbortSignal} signal
 * @returns {Promise<import("./types.js").Job>} The job in its last state.
 * @throws {Problem} The job is unknown: deleted, expired, or never made.
 */
export async function followJob(id, watch, signal) {
  const follower = new Follower(id, watch);
  for (let failures = 0; ;) {
    const attempt = new AbortController();
    const silent = whileAnswering(AbortSignal.any([signal, attempt.signal]));
    follower.signal = AbortSignal.any([signal, attempt.signal, silent]);
    try {
      const job = failures < STREAM_TRIES ? await follower.stream(() => (failures = 0)) : await follower.poll();
      if (job) return job;
    } catch (error) {
      signal.throwIfAborted();
      attempt.abort();
      if (!silent.aborted) await afterFailure(error, (failures += 1), signal);
      else await studioBack(signal);
    } finally {
      attempt.abort();
    }
  }
}

/**
 * Wait until another try makes sense.
 *
 * @param {unknown} error
 * @param {number} failures In a row.
 * @param {AbortSignal} signal
 * @throws What will not pass.
 */
async function afterFailure(error, failures, signal) {
  if (!(error instanceof Problem) || !isPassing(error.status)) throw error;
  if (error.status >= 500) faltered();
  await pause(Math.min(error.retryAfter ?? 2 ** (failures - 3), LONGEST_PAUSE_SECONDS), signal);
  if (error.status === 0) await studioBack(signal);
}

/** @param {number} status */
function isPassing(status) {
  return status === 0 || status === 429 || status >= 500;
}

/**
 * @param {import("./types.js").Job} job An ended one without a picture.
 * @returns {Error & {code: string, title: string}}
 */
export function failureOf(job) {
  const { code, title, message } = job.error ?? {
    code: job.state === "cancelled" ? "unknown_job" : job.state,
    title: "",
    message: "",
  };
  return Object.assign(new Error(message), { code, title });
}

class Follower {
  /**
   * @param {string} id
   * @param {Watch} watch
   */
  constructor(id, watch) {
    this.path = `jobs/${encodeURIComponent(id)}`;
    this.id = id;
    this.watch = watch;
    /** Ends the present attempt. @type {AbortSignal} */
    this.signal = new AbortController().signal;
    this.lastEventId = "";
  }

  /** @returns {Promise<import("./types.js").Job>} */
  async look() {
    const job = await getJob(this.id, this.signal);
    heard();
    this.watch.job(job);
    return job;
  }

  /**
   * Listen until the job or the stream ends.
   *
   * @param {() => void} onAlive Called when events flow.
   * @returns {Promise<import("./types.js").Job | null>} Null: the stream ended before the job.
   */
  async stream(onAlive) {
    const job = await this.look();
    if (hasEnded(job)) return job;
    /** @type {Record<string, string>} */
    const headers = this.lastEventId ? { "Last-Event-ID": this.lastEventId } : {};
    const response = await request(`${this.path}/events`, { signal: this.signal, headers });
    // Queue position and time left stand in the job only, and nothing is sent while it waits.
    const timer = setInterval(() => this.look().catch(() => {}), REFRESH_SECONDS * 1000);
    try {
      return response.body ? await this.listen(response.body, onAlive) : null;
    } finally {
      clearInterval(timer);
    }
  }

  /**
   * @param {ReadableStream<Uint8Array>} body
   * @param {() => void} onAlive
   * @returns {Promise<import("./types.js").Job | null>}
   */
  async listen(body, onAlive) {
    try {
      for await (const event of readEvents(body)) {
        onAlive();
        heard();
        this.lastEventId = event.id || this.lastEventId;
        if (event.kind === "progress") this.watch.progress(event.data);
        if (event.kind === "preview") this.watch.preview(sketchOf(event.data));
        if (event.kind === "state") {
          const job = await this.look();
          if (hasEnded(job)) return job;
        }
      }
    } catch (error) {
      if (this.signal.aborted || error instanceof Problem) throw error;
      throw new Problem(0, { detail: "The stream of events broke off." });
    }
    const job = await this.look();
    if (hasEnded(job)) return job;
    throw new Problem(0, { detail: "The stream of events ended before the job." });
  }

  /**
   * Ask again at every change.
   *
   * @returns {Promise<import("./types.js").Job>}
   */
  async poll() {
    for (let etag = ""; ;) {
      const response = await request(etag ? `${this.path}?wait=${LONG_POLL_SECONDS}` : this.path, {
        signal: this.signal,
        headers: etag ? { "If-None-Match": etag } : {},
        passes: [304],
      });
      heard();
      etag = response.headers.get("ETag") ?? etag;
      if (response.status === 304) continue;
      /** @type {import("./types.js").Job} */
      const job = await response.json();
      this.watch.job(job);
      if (hasEnded(job)) return job;
      await pause(1, this.signal); // A running job changes twice a second; once is enough to watch.
    }
  }
}

/**
 * @param {{image: string, drawing?: string | null, content_type: string}} preview
 * @returns {Sketch}
 */
function sketchOf({ image, drawing, content_type }) {
  return {
    picture: pictureOf(image, content_type),
    drawing: drawing ? pictureOf(drawing, content_type) : null,
  };
}

/**
 * @param {string} base64
 * @param {string} type
 * @returns {Blob}
 */
function pictureOf(base64, type) {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type });
}
