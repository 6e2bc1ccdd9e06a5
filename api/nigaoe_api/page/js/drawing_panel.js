// @ts-check
// How far a drawing has come, in words, a bar, and four seals.

import { announce } from "./announcer.js";
import { roughly } from "./durations.js";
import { byId } from "./elements.js";
import { isOnePass } from "./style_options.js";

const STAGES = ["inverting", "decoding", "upscaling", "storing"];
const TITLES = ["Finding your likeness", "Mixing the colours", "Pulling the print", "Setting the seal"];
/** Where there is no search: the drawing is made and put away. */
const STAGES_OF_ONE_PASS = ["decoding", "storing"];
/** Screen readers hear of the progress in steps of this share. */
const TOLD_SHARE = 0.25;

export class DrawingPanel {
  /** @param {import("./types.js").Style[]} styles */
  constructor(styles) {
    this.styles = styles;
    this.isOnePass = false;
    this.told = 0;
    this.stage = -1;
  }

  /**
   * @param {string} text What happens before there is a job.
   * @param {string} style Its name; empty: the job will tell.
   */
  open(text, style) {
    this.told = 0;
    this.stage = -1;
    this.plan(style);
    byId("drawing-left").textContent = text;
    byId("drawing-numbers").textContent = "";
    byId("drawing-note").textContent = "";
    byId("drawing-progress").removeAttribute("value"); // Without a value the bar only says that something happens.
    this.markStages(-1);
  }

  /** @param {string} style Says which stages there will be. */
  plan(style) {
    this.isOnePass = isOnePass(this.styles.find(({ name }) => name === style));
    if (this.stage < 0) byId("drawing-title").textContent = this.isOnePass ? "Drawing you in one go" : TITLES[0];
    byId("stages").classList.toggle("stages--two", this.isOnePass);
    for (const item of /** @type {NodeListOf<HTMLElement>} */ (byId("stages").querySelectorAll("li")))
      item.hidden = this.isOnePass && !STAGES_OF_ONE_PASS.includes(item.dataset.stage ?? "");
  }

  /** @param {import("./types.js").Job} job */
  showJob(job) {
    this.plan(job.options.style);
    if (job.state === "queued") this.showQueue(job.queue_position);
    else if (job.seconds_left !== null) byId("drawing-left").textContent = `Ready in ${roughly(job.seconds_left)}.`;
    else byId("drawing-left").textContent = "The first strokes are being made.";
    byId("drawing-note").textContent = "You may leave this page: the print will hang in “My prints”.";
    if (job.progress && job.state === "running") this.showProgress(job.progress);
  }

  /** @param {number | null} before */
  showQueue(before) {
    const people = before === 1 ? "One portrait is drawn" : `${before} portraits are drawn`;
    byId("drawing-left").textContent = before ? `${people} before yours.` : "You are next.";
  }

  /** @param {import("./types.js").Progress} progress */
  showProgress({ stage, step, total, distance, distance_start }) {
    if (stage === "ended") return; // The finished print, or what went wrong, is shown in a moment.
    const fraction = total ? step / total : 0;
    const index = STAGES.indexOf(stage);
    this.markStages(index);
    const bar = byId("drawing-progress", HTMLProgressElement);
    if (index > (this.isOnePass ? STAGES.indexOf("decoding") : 0)) bar.value = 1;
    else if (total) bar.value = fraction;
    byId("drawing-numbers").textContent = [
      total && `Sketch ${step} of at most ${total}`,
      distance != null && distance_start && `${nearer(distance, distance_start)} % nearer to you than the first`,
    ]
      .filter(Boolean)
      .join(" · ");
    if (fraction >= this.told + TOLD_SHARE && fraction < 1) {
      this.told = Math.floor(fraction / TOLD_SHARE) * TOLD_SHARE;
      announce(`${Math.round(fraction * 100)} per cent`);
    }
  }

  /** @param {number} current */
  markStages(current) {
    if (current === this.stage) return;
    this.stage = current;
    if (current >= 0) byId("drawing-title").textContent = TITLES[current];
    for (const [index, item] of [...byId("stages").children].entries()) {
      item.classList.toggle("is-done", index < current);
      if (index === current) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
  }
}

/**
 * By how many per cent the distance to the photo has fallen.
 *
 * @param {number} distance
 * @param {number} start
 */
export function nearer(distance, start) {
  return Math.max(0, Math.round((1 - distance / start) * 100));
}
