// @ts-check
// A drawing that somebody else has shared: to look at and to keep, and nothing more.

import { until } from "./durations.js";
import { byId } from "./elements.js";
import { captionOf } from "./finished_panel.js";
import { fetchResult, release } from "./pictures.js";
import { download } from "./sharing.js";

export class SharedPanel {
  /**
   * @param {import("./print_frame.js").PrintFrame} frame
   * @param {import("./types.js").Style[]} styles
   */
  constructor(frame, styles) {
    this.frame = frame;
    this.styles = styles;
    byId("download-shared").addEventListener("click", () => this.shown && download(this.shown));
  }

  /** @param {import("./types.js").SharedDrawing} job */
  async open(job) {
    this.close();
    this.shown = { job, picture: await fetchResult(job.links) };
    this.frame.comparison.hideBefore();
    this.frame.comparison.showAfter(this.shown.picture.url);
    this.frame.showComparison(captionOf(job.options, this.styles));
    byId("shared-facts").textContent = job.expires_at ? `This print is erased ${until(job.expires_at)}.` : "";
  }

  /** Let go of the picture. */
  close() {
    if (this.shown) release(this.shown.picture);
    this.shown = undefined;
  }
}
