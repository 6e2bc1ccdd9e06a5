// @ts-check
// The print: one picture at a time, the photo, the sketches, or photo and drawing compared.

import { PORTRAIT, drawAligned } from "./alignment.js";
import { Comparison } from "./comparison.js";
import { byId } from "./elements.js";
import { encoded } from "./photo_preparation.js";
import { Sketches } from "./sketches.js";

/** @typedef {"photo" | "preview" | "compare"} Layer */

export class PrintFrame {
  constructor() {
    this.comparison = new Comparison(byId("compare-layer"));
    this.photoView = byId("photo-view", HTMLImageElement);
    this.crop = byId("crop-view", HTMLCanvasElement);
    this.inset = byId("crop-inset", HTMLCanvasElement);
    this.large = new Sketches(byId("sketch-large"));
    this.small = new Sketches(byId("sketch-small"));
  }

  /**
   * @param {Layer} shown
   * @param {string} caption
   */
  show(shown, caption) {
    for (const layer of ["photo", "preview", "compare"]) byId(`${layer}-layer`).hidden = layer !== shown;
    byId("print").classList.toggle("is-finished", shown === "compare");
    byId("portrait-only-place").hidden = shown !== "compare";
    this.inset.hidden = shown !== "preview" || this.crop.hidden;
    byId("print-caption").textContent = caption;
  }

  /** @param {import("./types.js").Photo} photo */
  showPhoto(photo) {
    this.forgetPhoto();
    this.photoView.src = URL.createObjectURL(photo.blob);
    byId("photo").classList.toggle("is-unseen", !photo.bitmap);
    this.show("photo", "Your photo");
  }

  /** @param {import("./types.js").FoundFaces} found */
  fitUnseenPhoto(found) {
    byId("photo").style.setProperty("--aspect", `${found.width} / ${found.height}`);
  }

  /**
   * The cut-out face, under the sketches that will come.
   *
   * @param {import("./types.js").Photo | null} photo
   * @param {import("./types.js").Face | null} face
   * @param {import("./alignment.js").Alignment | null} [alignment] Of the style that will draw it.
   */
  showCrop(photo, face, alignment) {
    this.large.clear();
    this.small.clear();
    this.crop.hidden = !photo?.bitmap || !face;
    if (photo?.bitmap && face) {
      for (const canvas of [this.crop, this.inset]) drawAligned(canvas, photo.bitmap, face, alignment ?? PORTRAIT);
    }
    this.show("preview", this.crop.hidden ? "" : "drawn from this photo");
  }

  /**
   * The face that will be drawn; the whole photo where the browser cannot read it.
   *
   * @param {import("./types.js").Photo} photo
   * @param {import("./types.js").Face} face
   * @param {import("./alignment.js").Alignment | null} [alignment]
   */
  showSitter(photo, face, alignment) {
    if (!photo.bitmap) return this.showPhoto(photo);
    this.showCrop(photo, face, alignment);
    this.inset.hidden = true;
    byId("print-caption").textContent = "Sitting for a portrait";
  }

  /** @returns {Promise<string | null>} An object URL of the cut-out face. */
  async cropUrl() {
    return this.crop.hidden ? null : URL.createObjectURL(await encoded(this.crop));
  }

  /**
   * The newest sketch: what the style makes of the likeness, and in its corner the likeness itself.
   *
   * @param {import("./job_follower.js").Sketch} sketch
   */
  showSketch({ picture, drawing }) {
    this.large.show(drawing ?? picture);
    if (drawing) this.small.show(picture);
  }

  /** @param {string} caption */
  showComparison(caption) {
    this.show("compare", caption);
  }

  /** Take the photo out of the page's memory. */
  forgetPhoto() {
    if (this.photoView.src) URL.revokeObjectURL(this.photoView.src);
    this.photoView.removeAttribute("src");
  }
}
