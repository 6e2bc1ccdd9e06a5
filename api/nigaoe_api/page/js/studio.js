// @ts-check
// The visit from photo to portrait. One visit at a time: a new photo, a print from the history or another place of the
// browser's history ends the one before, and whatever it was waiting for.

import { announce } from "./announcer.js";
import { eraseJobs, getShared, isOwnJob } from "./api_client.js";
import { DrawingPanel } from "./drawing_panel.js";
import { byId } from "./elements.js";
import { withdrawFaces } from "./face_chooser.js";
import { FinishedPanel } from "./finished_panel.js";
import { forget, remember } from "./history_store.js";
import { failureOf, followJob } from "./job_follower.js";
import { chooseFace, chooseOptions, findFaces, orderFor, outcomeOf, readPhoto } from "./order.js";
import { WELCOME, currentPlace, enter, watchPlaces } from "./places.js";
import { PrintFrame } from "./print_frame.js";
import { troubleWithReference } from "./problem_text.js";
import { SharedPanel } from "./shared_panel.js";
import { showStep, showWelcome } from "./steps.js";
import { markStyle, showStyleCards } from "./style_cards.js";
import { StyleOptions, anotherSeed } from "./style_options.js";
import { persist, tryAgainAfter } from "./trouble_panel.js";
import { newIdempotencyKey } from "./upload.js";

const TITLE = document.title;

export class Studio {
  /** @param {import("./types.js").Style[]} styles The best first. */
  constructor(styles) {
    this.styles = styles;
    this.style = styles[0]?.name ?? "";
    this.options = new StyleOptions();
    this.frame = new PrintFrame();
    this.drawing = new DrawingPanel(styles);
    this.shared = new SharedPanel(this.frame, styles);
    this.finished = new FinishedPanel(this.frame, styles, {
      onShow: (id) => this.name(id),
      onDelete: (ids) => this.erase(ids),
      onAnother: (id) => this.drawAnother(id),
    });
    this.visit = new AbortController();
    /** The photo that Back leads to. @type {import("./order.js").Sitting | null} */
    this.sitting = null;
    /** @type {string | null} */
    this.jobId = null;
    /** What has been ordered, until the studio says as which job. @type {import("./order.js").Order | null} */
    this.order = null;
    showStyleCards(byId("style-choice"), styles, { chosen: this.style, onChoose: (name) => this.choose(name) });
    this.choose(this.style);
    document.addEventListener("visibilitychange", () => document.hidden || (document.title = TITLE));
    byId("cancel-job").addEventListener("click", () => this.cancel());
    byId("cancel-reading").addEventListener("click", () => this.leave());
  }

  /** @param {string} name The style that is ordered from now on. */
  choose(name) {
    this.style = name;
    markStyle(byId("style-choice"), name);
    const style = this.styles.find((one) => one.name === name);
    if (style) this.options.show(style);
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
        const found = await persist(() => findFaces(photo, signal), signal);
        this.sitting = { id, photo, found, made: new Map() };
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
    const face = await chooseFace(sitting, this.frame, signal);
    for (;;) {
      this.frame.showSitter(sitting.photo, face, this.alignment());
      const choice = await chooseOptions(this.options, signal);
      try {
        return await this.draw(sitting, face, choice, signal);
      } catch (error) {
        const trouble = choice.reference && !signal.aborted && troubleWithReference(error);
        if (!trouble) throw error;
        showStep("style");
        this.options.reference.complain(trouble);
      }
    }
  }

  /**
   * Order a drawing and see it through.
   *
   * @param {import("./order.js").Sitting} sitting
   * @param {import("./types.js").Face} face
   * @param {import("./style_options.js").Choice} choice
   * @param {AbortSignal} signal
   */
  async draw(sitting, face, choice, signal) {
    const order = orderFor(sitting, face, choice);
    this.order = order;
    const attempt = () => {
      this.openDrawing(sitting.photo, face, "Your order is on its way.");
      return order();
    };
    const isReferences = (/** @type {unknown} */ error) => choice.reference !== null && troubleWithReference(error) !== null;
    const job = await persist(attempt, signal, isReferences);
    sitting.made.set(job.id, { face, choice });
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
   * Draw the same face by chance once more.
   *
   * @param {string} id The print that it is another one of.
   */
  drawAnother(id) {
    const { sitting } = this;
    const made = sitting?.made.get(id);
    if (!sitting || !made) return;
    const fields = { ...made.choice.fields, seed: anotherSeed() };
    this.choose(made.choice.fields.style);
    return this.run((signal) => this.draw(sitting, made.face, { ...made.choice, fields }, signal));
  }

  /**
   * @param {string} id A print from the history or a link.
   * @param {string} [signature] Of a link that its owner has made for others.
   */
  open(id, signature) {
    return this.run(async (signal) => {
      this.openDrawing(null, null, "Fetching the print.");
      const isOurs = !signature || (await isOwnJob(id, signal));
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
    const isRepeatable = this.sitting?.made.has(job.id) ?? false;
    await this.finished.open(job, await this.frame.cropUrl(), isRepeatable);
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
    this.drawing.open(text, photo ? this.style : "");
    showStep("drawing");
  }

  /** Where a face stands in the chosen style's pictures. */
  alignment() {
    return this.styles.find(({ name }) => name === this.style)?.alignment;
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
      const job = await outcomeOf(order);
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
    this.options.reference.remove();
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
