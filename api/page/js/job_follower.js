// @ts-check
// Following a job to its end: by server-sent events while they flow, by asking where they do not.

import { Problem, getJob, request } from "./api_client.js";
import { readEvents } from "./event_stream.js";
import { pause } from "./pause.js";

/** Broken streams in a row after which the follower only asks: some proxies hold events back. */
const STREAM_TRIES = 3;
const REFRESH_SECONDS = 3;
const LONG_POLL_SECONDS = 20;
const LONGEST_PAUSE_SECONDS = 15;

/**
 * @typedef {object} Watch
 * @property {(job: import("./types.js").Job) => void} job
 * @property {(progress: import("./types.js").Progress) => void} progress
 * @property {(picture: Blob) => void} preview
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
  const follower = new Follower(id, watch, signal);
  for (let failures = 0; ;) {
    try {
      const job = failures < STREAM_TRIES ? await follower.stream(() => (failures = 0)) : await follower.poll();
      if (job) return job;
    } catch (error) {
      const passing = error instanceof Problem && (error.status === 0 || error.status === 429 || error.status >= 500);
      if (!passing) throw error;
      failures += 1;
      await pause(Math.min(error.retryAfter ?? 2 ** (failures - 1), LONGEST_PAUSE_SECONDS), signal);
    }
  }
}

class Follower {
  /**
   * @param {string} id
   * @param {Watch} watch
   * @param {AbortSignal} signal
   */
  constructor(id, watch, signal) {
    this.path = `jobs/${encodeURIComponent(id)}`;
    this.id = id;
    this.watch = watch;
    this.signal = signal;
    this.lastEventId = "";
  }

  /** @returns {Promise<import("./types.js").Job>} */
  async look() {
    const job = await getJob(this.id, this.signal);
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
        this.lastEventId = event.id || this.lastEventId;
        if (event.kind === "progress") this.watch.progress(event.data);
        if (event.kind === "preview") this.watch.preview(pictureOf(event.data));
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
 * @param {{image: string, content_type: string}} preview
 * @returns {Blob}
 */
function pictureOf({ image, content_type }) {
  const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: content_type });
}
