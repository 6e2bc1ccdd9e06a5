// @ts-check
// The visit from photo to portrait. One visit at a time: a new photo, a print from the history or "another photo" ends
// the one before, and whatever it was waiting for.

import { announce } from "./announcer.js";
import { eraseJobs } from "./api_client.js";
import { DrawingPanel } from "./drawing_panel.js";
import { byId } from "./elements.js";
import { withdrawFaces } from "./face_chooser.js";
import { FinishedPanel } from "./finished_panel.js";
import { forget, remember } from "./history_store.js";
import { followJob } from "./job_follower.js";
import { chooseFace, chooseOptions, orderFor, readPhoto } from "./order.js";
import { PrintFrame } from "./print_frame.js";
import { showStep, showWelcome } from "./steps.js";
import { showStyleCards } from "./style_cards.js";
import { tryAgainAfter } from "./trouble_panel.js";

const TITLE = document.title;

export class Studio {
  /** @param {{default: string, styles: import("./types.js").Style[]}} shelf */
  constructor(shelf) {
    this.shelf = shelf;
    this.style = shelf.default;
    this.frame = new PrintFrame();
    this.drawing = new DrawingPanel();
    this.finished = new FinishedPanel(this.frame, shelf.styles, (ids) => this.erase(ids));
    this.visit = new AbortController();
    /** @type {string | null} */
    this.jobId = null;
    showStyleCards(byId("style-choice"), shelf.styles, { chosen: this.style, onChoose: (name) => (this.style = name) });
    document.addEventListener("visibilitychange", () => document.hidden || (document.title = TITLE));
    byId("cancel-job").addEventListener("click", () => this.cancel());
    for (const button of document.querySelectorAll('[data-do="restart"]'))
      button.addEventListener("click", () => this.restart());
  }

  /** @param {Blob} file A new photo. */
  receive(file) {
    return this.run(async (signal) => {
      const photo = await readPhoto(file, this.frame, signal);
      const face = await this.persist(() => chooseFace(photo, this.frame, signal), signal);
      this.frame.showSitter(photo, face, this.alignment());
      const fields = await chooseOptions(() => this.style, signal);
      const order = orderFor({ photo, face }, fields);
      const job = await this.persist(() => {
        this.openDrawing(photo, face, "Your photo is on its way.");
        return order(signal);
      }, signal);
      remember(job.id);
      this.address(job.id);
      await this.watch(job.id, signal);
    });
  }

  /** @param {string} id A print from the history or a link. */
  open(id) {
    return this.run(async (signal) => {
      this.address(id);
      this.openDrawing(null, null, "Fetching the print.");
      await this.watch(id, signal);
    });
  }

  /**
   * Follow a job and show what it became.
   *
   * @param {string} id
   * @param {AbortSignal} signal
   */
  async watch(id, signal) {
    this.jobId = id;
    const job = await followJob(
      id,
      {
        job: (seen) => this.drawing.showJob(seen),
        progress: (progress) => this.drawing.showProgress(progress),
        preview: (picture) => this.frame.showSketch(picture),
      },
      signal,
    );
    if (job.state !== "succeeded") throw failureOf(job);
    await this.finished.open(job, await this.frame.cropUrl());
    signal.throwIfAborted();
    showStep("finished");
    this.frame.comparison.reveal();
    announce("The portrait is ready.");
    if (document.hidden) document.title = `✓ Ready · ${TITLE}`;
  }

  /**
   * @param {import("./types.js").Photo | null} photo
   * @param {import("./types.js").Face | null} face
   * @param {string} text
   */
  openDrawing(photo, face, text) {
    this.frame.showCrop(photo, face, this.alignment());
    this.drawing.open(text);
    showStep("drawing");
  }

  /** Where a face stands in the chosen style's pictures. */
  alignment() {
    return this.shelf.styles.find(({ name }) => name === this.style)?.alignment;
  }

  /**
   * Do it, as often as it takes while the trouble is passing and the user stays.
   *
   * @template T
   * @param {() => Promise<T>} attempt
   * @param {AbortSignal} signal
   * @returns {Promise<T>}
   */
  async persist(attempt, signal) {
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (signal.aborted) throw error;
        await tryAgainAfter(error, signal);
      }
    }
  }

  /**
   * Run a visit; the one before ends.
   *
   * @param {(signal: AbortSignal) => Promise<void>} visit
   */
  async run(visit) {
    this.end();
    const { signal } = this.visit;
    for (;;) {
      try {
        return await visit(signal);
      } catch (error) {
        if (signal.aborted) return;
        await tryAgainAfter(error, signal).catch(() => {});
        if (signal.aborted) return;
      }
    }
  }

  /** Stop the drawing under way and erase it. */
  async cancel() {
    const id = this.jobId;
    this.restart();
    if (id) await this.erase([id]);
  }

  /** @param {string[]} ids */
  async erase(ids) {
    try {
      await eraseJobs(ids);
    } catch (error) {
      return this.run(async () => {
        throw error;
      });
    }
    forget(ids);
    this.restart();
    announce("Deleted. Nothing of it is left on the server.");
  }

  /** Back to the beginning. */
  restart() {
    this.end();
    this.address("");
    showWelcome();
    byId("choose-photo").focus({ preventScroll: true });
    scrollTo({ top: 0 });
  }

  /** End the visit and let go of its pictures. */
  end() {
    this.visit.abort(new DOMException("The visit is over", "AbortError"));
    this.visit = new AbortController();
    this.jobId = null;
    this.finished.close();
    this.frame.forgetPhoto();
    withdrawFaces();
    document.title = TITLE;
  }

  /** @param {string} id The print that the page's address names, so that it can be reloaded and shared. */
  address(id) {
    history.replaceState(null, "", id ? `#${id}` : location.pathname + location.search);
  }
}

/** @param {import("./types.js").Job} job An ended one without a picture. */
function failureOf(job) {
  const { code, title, message } = job.error ?? {
    code: job.state === "cancelled" ? "unknown_job" : job.state,
    title: "",
    message: "",
  };
  return Object.assign(new Error(message), { code, title });
}
