// @ts-check
// A finished portrait: compare it, change its look, take it home, or erase it.

import { announce } from "./announcer.js";
import { until } from "./durations.js";
import { nearer } from "./drawing_panel.js";
import { byId } from "./elements.js";
import { rememberKin } from "./history_store.js";
import { fetchResult } from "./pictures.js";
import { Restyler, inStyle, lookOf, originOf } from "./restyling.js";
import { canShare, download, share } from "./sharing.js";
import { isOnePass } from "./style_options.js";
import { StylePrints } from "./style_prints.js";
import { troubleOf } from "./problem_text.js";

/** The sliders, named like the options of a restyle. */
const SHARES = /** @type {const} */ (["degree", "truncation", "colours"]);

/**
 * @typedef {object} Watcher
 * @property {(id: string) => void} onShow Told which drawing is the large one.
 * @property {(ids: string[]) => Promise<void>} onDelete Erases the drawing and all that were made from it.
 * @property {(id: string) => void} onAnother Asked for another one of a drawing that chance had a part in.
 */

export class FinishedPanel {
  /**
   * @param {import("./print_frame.js").PrintFrame} frame
   * @param {import("./types.js").Style[]} styles
   * @param {Watcher} watcher
   */
  constructor(frame, styles, { onShow, onDelete, onAnother }) {
    this.frame = frame;
    this.styles = styles;
    this.onShow = onShow;
    /** @type {Restyler | null} */
    this.restyler = null;
    /** @type {string | null} The photo's cut-out. */
    this.beforeUrl = null;
    // What draws photos in one pass draws no latent that was found by a search.
    const restyling = styles.filter((style) => !isOnePass(style));
    this.prints = new StylePrints(byId("style-prints"), restyling, (style) => {
      if (this.look) this.change(inStyle(this.look, style, styles));
    });
    for (const share of SHARES) {
      const slider = byId(share, HTMLInputElement);
      slider.addEventListener("input", () => this.change({ [share]: slider.valueAsNumber / 100 }));
    }
    byId("download").addEventListener("click", () => download(this.drawing()));
    byId("share").addEventListener("click", async () => this.tell(await share(this.drawing())));
    byId("delete").addEventListener("click", () => this.erase(onDelete));
    byId("another").addEventListener("click", () => onAnother(this.drawing().job.id));
    byId("share").lastElementChild?.replaceChildren(canShare() ? "Share" : "Copy link");
  }

  /** @returns {import("./restyling.js").Drawing} */
  drawing() {
    if (!this.shown) throw new Error("nothing is shown yet");
    return this.shown;
  }

  /**
   * @param {import("./types.js").Job} job A succeeded one.
   * @param {string | null} cropUrl Object URL of the photo's cut-out, where this page still has it.
   * @param {boolean} isRepeatable Whether its photo is still here, so that it can be drawn once more.
   */
  async open(job, cropUrl, isRepeatable) {
    this.close();
    this.disarm();
    this.tell("");
    const first = { job, picture: await fetchResult(job.links) };
    const isLatentKept = job.report?.stop_reason !== "one_pass";
    byId("looks").hidden = !isLatentKept;
    byId("another-place").hidden = !isRepeatable || job.report?.seed == null;
    if (cropUrl) this.frame.comparison.showBefore(cropUrl, "photo");
    else this.frame.comparison.hideBefore();
    this.beforeUrl = cropUrl;
    if (!isLatentKept) return this.openOnly(first);
    const origin = await originOf(job);
    this.report = origin.report;
    this.kin = new Set([origin.id, job.id]);
    const restyler = new Restyler(origin, first, (id) => {
      this.kin?.add(id);
      rememberKin(origin.id, id);
    });
    this.restyler = restyler;
    this.put(first);
    this.prints.open(restyler).then(() => cropUrl || this.showPerson(restyler, first));
  }

  /** @param {import("./restyling.js").Drawing} drawing One that keeps nothing that could be drawn in another look. */
  openOnly(drawing) {
    this.report = drawing.job.report;
    this.kin = new Set([drawing.job.id]);
    this.put(drawing);
  }

  /**
   * Without the photo, compare with the same face before it became anime, as soon as that is drawn.
   *
   * @param {Restyler} restyler
   * @param {import("./restyling.js").Drawing} first
   */
  async showPerson(restyler, first) {
    try {
      if (this.restyler !== restyler) return;
      const person = await restyler.make({ ...lookOf(first.job), degree: 0 });
      if (this.restyler === restyler) this.frame.comparison.showBefore(person.picture.url, "person");
    } catch {
      // The comparison is a gift here; without it the portrait itself is shown, whole.
    }
  }

  /** @param {Partial<import("./restyling.js").Look>} change */
  async change(change) {
    if (!this.look || !this.restyler) return;
    this.look = { ...this.look, ...change };
    this.showLook(this.look);
    this.tell("Redrawing …");
    try {
      const drawing = await this.restyler.draw(this.look);
      if (!drawing) return;
      this.put(drawing);
      this.tell("");
      announce("Redrawn.");
      if (change.style) this.prints.draw(change.style); // In its place it may have failed before.
    } catch (error) {
      if (!this.restyler) return;
      const code = error instanceof Error && "code" in error ? String(error.code) : "internal";
      const { title, text } = troubleOf({ code, message: error instanceof Error ? error.message : "" });
      this.look = lookOf(this.drawing().job);
      this.showLook(this.look);
      this.tell(`${title}. ${text}`);
    }
  }

  /** @param {import("./restyling.js").Drawing} drawing */
  put(drawing) {
    this.shown = drawing;
    this.look = lookOf(drawing.job);
    this.showLook(this.look);
    this.frame.comparison.showAfter(drawing.picture.url);
    this.frame.showComparison(captionOf(drawing.job.options, this.styles));
    const report = drawing.job.report?.steps ? drawing.job.report : (this.report ?? null);
    byId("finished-facts").textContent = factsOf({ ...drawing.job, report });
    this.onShow(drawing.job.id);
  }

  /** @param {import("./restyling.js").Look} look */
  showLook(look) {
    for (const share of SHARES) {
      const percent = Math.round(look[share] * 100);
      byId(share, HTMLInputElement).valueAsNumber = percent;
      byId(`${share}-value`).textContent = `${percent} %`;
    }
    this.prints.mark(look.style);
  }

  /**
   * Erasing cannot be undone, so it takes two presses.
   *
   * @param {(ids: string[]) => Promise<void>} onDelete
   */
  async erase(onDelete) {
    const button = byId("delete");
    if (!button.dataset.armed) {
      button.dataset.armed = "yes";
      setLabel(button, "Really delete?");
      byId("delete-warning").hidden = false;
      announce(byId("delete-warning").textContent ?? "");
      button.addEventListener("blur", () => this.disarm(), { once: true });
      return;
    }
    this.disarm();
    await onDelete([...(this.kin ?? [])]);
  }

  disarm() {
    byId("delete-warning").hidden = true;
    delete byId("delete").dataset.armed;
    setLabel(byId("delete"), "Delete");
  }

  /** @param {string} text Beside the look's controls; empty: nothing to say. */
  tell(text) {
    byId("restyling").textContent = text;
    if (text) announce(text);
  }

  /** Let go of the pictures. */
  close() {
    this.prints.close();
    this.restyler?.close();
    this.restyler = null;
    this.shown = undefined;
    if (this.beforeUrl) URL.revokeObjectURL(this.beforeUrl);
    this.beforeUrl = null;
  }
}

/**
 * @param {{style: string, degree: number}} look
 * @param {import("./types.js").Style[]} styles
 * @returns {string} "Anime", "Anime · 70 %".
 */
export function captionOf({ style, degree }, styles) {
  const title = styles.find(({ name }) => name === style)?.title ?? style;
  const share = Math.round(degree * 100);
  return share === 100 ? title : `${title} · ${share} %`;
}

/**
 * @param {HTMLElement} button
 * @param {string} text
 */
function setLabel(button, text) {
  button.lastChild?.replaceWith(` ${text}`);
}

/** @param {import("./types.js").Job} job */
function factsOf({ report, expires_at }) {
  const pass = report?.stop_reason === "one_pass" ? "Drawn in one go" : "";
  const chance = report?.seed != null ? `, variation ${report.seed}` : "";
  const model = report?.reference ? ", like your picture" : "";
  const steps = report?.steps ? `${report.steps} sketches` : "";
  const gain =
    report?.distance_start && report.distance_end !== null ? nearer(report.distance_end, report.distance_start) : 0;
  const kept = expires_at
    ? `This print is erased ${until(expires_at)}; your photo already is.`
    : "Your photo is erased already.";
  return [pass && `${pass}${chance}${model}.`, steps && gain ? `${steps} brought it ${gain} % nearer to you.` : "", kept].filter(Boolean).join(" ");
}
