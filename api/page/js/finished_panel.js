// @ts-check
// A finished portrait: compare it, change its look, take it home, or erase it.

import { announce } from "./announcer.js";
import { until } from "./durations.js";
import { nearer } from "./drawing_panel.js";
import { byId } from "./elements.js";
import { rememberKin } from "./history_store.js";
import { fetchResult } from "./pictures.js";
import { Restyler, lookOf, originOf } from "./restyling.js";
import { canShare, download, share } from "./sharing.js";
import { markStyle, showStyleCards } from "./style_cards.js";
import { troubleOf } from "./problem_text.js";

export class FinishedPanel {
  /**
   * @param {import("./print_frame.js").PrintFrame} frame
   * @param {import("./types.js").Style[]} styles
   * @param {(ids: string[]) => Promise<void>} onDelete Erases the drawing and all that were made from it.
   */
  constructor(frame, styles, onDelete) {
    this.frame = frame;
    this.styles = styles;
    this.degree = byId("degree", HTMLInputElement);
    this.truncation = byId("truncation", HTMLInputElement);
    this.colours = byId("colours", HTMLInputElement);
    /** @type {Restyler | null} */
    this.restyler = null;
    /** @type {string | null} The photo's cut-out, or what the person looks like in the generator's eyes. */
    this.beforeUrl = null;
    byId("style-change").hidden = styles.length < 2; // With one there is nothing to change to.
    showStyleCards(byId("style-change"), styles, { chosen: "", onChoose: (name) => this.change({ style: name }) });
    this.degree.addEventListener("input", () => this.change({ degree: this.degree.valueAsNumber / 100 }));
    this.truncation.addEventListener("input", () => this.change({ truncation: this.truncation.valueAsNumber / 100 }));
    this.colours.addEventListener("input", () => this.change({ colours: this.colours.valueAsNumber / 100 }));
    byId("download").addEventListener("click", () => download(this.drawing()));
    byId("share").addEventListener("click", async () => this.tell(await share(this.drawing())));
    byId("delete").addEventListener("click", () => this.erase(onDelete));
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
   */
  async open(job, cropUrl) {
    this.close();
    this.disarm();
    this.tell("");
    const first = { job, picture: await fetchResult(job) };
    const origin = await originOf(job);
    this.report = origin.report;
    this.kin = new Set([origin.id, job.id]);
    this.restyler = new Restyler({ ...first, job: { ...job, links: origin.links, id: origin.id } }, (id) => {
      this.kin?.add(id);
      rememberKin(origin.id, id);
    });
    this.look = lookOf(job);
    this.put(first);
    this.beforeUrl = cropUrl;
    if (cropUrl) this.frame.comparison.showBefore(cropUrl, "photo");
    else this.showReconstruction(this.restyler, first);
  }

  /**
   * Without the photo, compare with the same face before it became anime, as soon as that is drawn.
   *
   * @param {Restyler} restyler
   * @param {import("./restyling.js").Drawing} first
   */
  async showReconstruction(restyler, first) {
    this.frame.comparison.showBefore(first.picture.url, "portrait");
    try {
      const person = await restyler.make({ ...lookOf(first.job), degree: 0 });
      if (this.restyler === restyler) this.frame.comparison.showBefore(person.picture.url, "as a person");
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
    } catch (error) {
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
    const title =
      this.styles.find(({ name }) => name === drawing.job.options.style)?.title ?? drawing.job.options.style;
    const share = Math.round(drawing.job.options.degree * 100);
    this.frame.showComparison(share === 100 ? title : `${title} · ${share} %`);
    byId("finished-facts").textContent = factsOf({
      ...drawing.job,
      report: drawing.job.report?.steps ? drawing.job.report : (this.report ?? null),
    });
  }

  /** @param {import("./restyling.js").Look} look */
  showLook({ style, degree, truncation, colours }) {
    this.degree.valueAsNumber = Math.round(degree * 100);
    this.truncation.valueAsNumber = Math.round(truncation * 100);
    this.colours.valueAsNumber = Math.round(colours * 100);
    byId("degree-value").textContent = `${Math.round(degree * 100)} %`;
    byId("truncation-value").textContent = `${Math.round(truncation * 100)} %`;
    byId("colours-value").textContent = `${Math.round(colours * 100)} %`;
    markStyle(byId("style-change"), style);
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
      button.addEventListener("blur", () => this.disarm(), { once: true });
      return;
    }
    this.disarm();
    await onDelete([...(this.kin ?? [])]);
  }

  disarm() {
    delete byId("delete").dataset.armed;
    setLabel(byId("delete"), "Delete");
  }

  /** @param {string} text Beside the look's controls; empty: nothing to say. */
  tell(text) {
    const line = byId("restyling");
    line.hidden = !text;
    line.textContent = text;
    if (text) announce(text);
  }

  /** Let go of the pictures. */
  close() {
    this.restyler?.close();
    this.restyler = null;
    this.shown = undefined;
    if (this.beforeUrl) URL.revokeObjectURL(this.beforeUrl);
    this.beforeUrl = null;
  }
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
  const steps = report?.steps ? `${report.steps} sketches` : "";
  const gain =
    report?.distance_start && report.distance_end !== null ? nearer(report.distance_end, report.distance_start) : 0;
  const kept = expires_at
    ? `This print is erased ${until(expires_at)}; your photo already is.`
    : "Your photo is erased already.";
  return [steps && gain ? `${steps} brought it ${gain} % nearer to you.` : "", kept].filter(Boolean).join(" ");
}
