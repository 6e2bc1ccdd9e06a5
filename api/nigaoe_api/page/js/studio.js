// @ts-check
// The visit from photo to portrait. One visit at a time: a new photo, a print from the history or another place of the
// browser's history ends the one before, and whatever it was waiting for.

import { announce } from "./announcer.js";
import { Problem, eraseJobs, getJob, getShared } from "./api_client.js";
import { connectionHolds } from "./connection.js";
import { DrawingPanel } from "./drawing_panel.js";
import { byId } from "./elements.js";
import { withdrawFaces } from "./face_chooser.js";
import { FinishedPanel } from "./finished_panel.js";
import { forget, remember } from "./history_store.js";
import { followJob } from "./job_follower.js";
import { chooseFace, chooseOptions, findFaces, orderFor, readPhoto } from "./order.js";
import { WELCOME, currentPlace, enter, watchPlaces } from "./places.js";
import { PrintFrame } from "./print_frame.js";
import { SharedPanel } from "./shared_panel.js";
import { showStep, showWelcome } from "./steps.js";
import { showStyleCards } from "./style_cards.js";
import { tryAgainAfter } from "./trouble_panel.js";
import { newIdempotencyKey } from "./upload.js";

const TITLE = document.title;

export class Studio {
  /** @param {import("./types.js").Style[]} styles The best first. */
  constructor(styles) {
    this.styles = styles;
    this.style = styles[0]?.name ?? "";
    this.frame = new PrintFrame();
    this.drawing = new DrawingPanel();
    this.shared = new SharedPanel(this.frame, styles);
    this.finished = new FinishedPanel(this.frame, styles, {
      onShow: (id) => this.name(id),
      onDelete: (ids) => this.erase(ids),
    });
    this.visit = new AbortController();
    /** The photo that Back leads to. @type {import("./order.js").Sitting | null} */
    this.sitting = null;
    /** @type {string | null} */
    this.jobId = null;
    /** What has been ordered, until the studio says as which job. @type {import("./order.js").Order | null} */
    this.order = null;
    showStyleCards(byId("style-choice"), styles, { chosen: this.style, onChoose: (name) => (this.style = name) });
    document.addEventListener("visibilitychange", () => document.hidden || (document.title = TITLE));
    byId("cancel-job").addEventListener("click", () => this.cancel());
    byId("cancel-reading").addEventListener("click", () => this.leave());
  }

  /** Go where the page's address points, now and whenever Back or Forward changes it. */
  begin() {
    watchPlaces((place) => this.arrive(place));
    this.arrive(currentPlace());
  }

  /** @param {import("./places.js").Place} place */
  arrive({ kind, id, signature }) {
    if (kind === "print") return id === this.jobId || this.open(id, signature);
    if (kind === "sitting" && this.sitting?.id === id) return this.resume(this.sitting);
    if (kind === "sitting") enter(WELCOME, { instead: true }); // Its photo went with a reload.
    if (this.jobId || document.body.dataset.at) this.showWelcome();
  }

  /** @param {Blob} file A new photo. */
  receive(file) {
    const id = newIdempotencyKey();
    return this.run(async (signal) => {
      enter({ kind: "sitting", id });
      if (this.sitting?.id !== id) {
        const photo = await readPhoto(file, this.frame, signal);
        const found = await this.persist(() => findFaces(photo, signal), signal);
        this.sitting = { id, photo, found };
      }
      await this.portray(this.sitting, signal);
    });
  }

  /** @param {import("./order.js").Sitting} sitting One that the visitor comes back to. */
  resume(sitting) {
    return this.run(async (signal) => {
      this.frame.showPhoto(sitting.photo);
      await this.portray(sitting, signal);
    });
  }

  /**
   * @param {import("./order.js").Sitting} sitting
   * @param {AbortSignal} signal
   */
  async portray(sitting, signal) {
    const { photo } = sitting;
    const face = await chooseFace(sitting, this.frame, signal);
    this.frame.showSitter(photo, face, this.alignment());
    const fields = await chooseOptions(() => this.style, signal);
    const order = orderFor(sitting, face, fields);
    this.order = order;
    const job = await this.persist(() => {
      this.openDrawing(photo, face, "Your order is on its way.");
      return order();
    }, signal);
    remember(job.id); // Also of who has left meanwhile: it is drawn all the same, and only here can it be erased.
    signal.throwIfAborted();
    this.order = null;
    this.jobId = job.id;
    enter({ kind: "print", id: job.id });
    try {
      await this.watch(job.id, signal);
    } catch (error) {
      if (!signal.aborted) enter({ kind: "sitting", id: sitting.id }, { instead: true }); // There is no such print.
      throw error;
    }
  }

  /**
   * @param {string} id A print from the history or a link.
   * @param {string} [signature] Of a link that its owner has made for others.
   */
  open(id, signature) {
    return this.run(async (signal) => {
      this.openDrawing(null, null, "Fetching the print.");
      const isOurs = !signature || (await isKnown(id, signal));
      if (signature && !isOurs) return this.openShared(id, signature, signal);
      this.jobId = id;
      enter({ kind: "print", id });
      await this.watch(id, signal);
    });
  }

  /**
   * @param {string} id
   * @param {string} signature
   * @param {AbortSignal} signal
   */
  async openShared(id, signature, signal) {
    await this.shared.open(await getShared(id, signature, signal));
    signal.throwIfAborted();
    this.jobId = id;
    showStep("shared");
  }

  /**
   * Follow a job and show what it became.
   *
   * @param {string} id
   * @param {AbortSignal} signal
   */
  async watch(id, signal) {
    const job = await followJob(
      id,
      {
        job: (seen) => this.drawing.showJob(seen),
        progress: (progress) => this.drawing.showProgress(progress),
        preview: (sketch) => this.frame.showSketch(sketch),
      },
      signal,
    );
    if (job.state !== "succeeded") throw failureOf(job);
    await this.finished.open(job, await this.frame.cropUrl());
    signal.throwIfAborted();
    showStep("finished");
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
    return this.styles.find(({ name }) => name === this.style)?.alignment;
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
        const answer = await attempt();
        connectionHolds();
        return answer;
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

  /** Stop the drawing under way and erase it; one that the studio has not confirmed yet, as soon as it has. */
  async cancel() {
    const { jobId, order } = this;
    this.leave();
    if (jobId) await this.erase([jobId]);
    else if (order) await this.takeBack(order);
  }

  /** @param {string[]} ids */
  erase(ids) {
    return this.run((signal) => this.eraseOn(ids, signal));
  }

  /** @param {import("./order.js").Order} order One that the studio may have taken. */
  takeBack(order) {
    return this.run(async (signal) => {
      const job = await order().catch(noneIfRefused);
      if (job) await this.eraseOn([job.id], signal);
      else announce("Stopped. Nothing had been drawn.");
    });
  }

  /**
   * @param {string[]} ids
   * @param {AbortSignal} signal Aborted when the visitor has gone on to something else, where nobody fetches him back.
   */
  async eraseOn(ids, signal) {
    await eraseJobs(ids);
    forget(ids);
    if (!signal.aborted) this.leave();
    announce("Deleted. Nothing of it is left on the server.");
  }

  /** Back to the beginning. */
  restart() {
    enter(WELCOME);
    this.showWelcome();
  }

  /** Back to the beginning, without a way back to what was here: it is gone, and so is its photo. */
  leave() {
    this.sitting = null;
    enter(WELCOME, { instead: true });
    this.showWelcome();
  }

  showWelcome() {
    this.end();
    showWelcome();
    byId("choose-photo").focus({ preventScroll: true });
    scrollTo({ top: 0 });
  }

  /** End the visit and let go of its pictures. */
  end() {
    this.visit.abort(new DOMException("The visit is over", "AbortError"));
    this.visit = new AbortController();
    this.jobId = null;
    this.order = null;
    this.finished.close();
    this.shared.close();
    this.frame.forgetPhoto();
    withdrawFaces();
    document.title = TITLE;
  }

  /** @param {string} id Another look of the same print: the page's address names it, so that it can be reloaded. */
  name(id) {
    this.jobId = id;
    enter({ kind: "print", id }, { instead: true });
  }
}

/**
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>} Whether the job is this browser's own.
 */
async function isKnown(id, signal) {
  try {
    await getJob(id, signal);
    return true;
  } catch (error) {
    if (error instanceof Problem && (error.status === 404 || error.status === 401)) return false;
    throw error;
  }
}

/**
 * What became of an order that failed: without an answer it may have been taken all the same.
 *
 * @param {unknown} error
 * @returns {null} There is no job.
 */
function noneIfRefused(error) {
  if (error instanceof Problem && error.status) return null;
  throw error;
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
