// @ts-check
// The picture that a style shall draw like: chosen, seen, taken away again.

import { announce } from "./announcer.js";
import { byId } from "./elements.js";
import { preparePhoto } from "./photo_preparation.js";

const WHAT_FOR = "Your portrait takes over its colours and its hand; a face that is drawn as anime works best.";
const OPTIONAL = "Without one, the style draws in its own way.";
const ERASED = "It is erased together with your photo.";

export class ReferenceChooser {
  /** @param {() => void} onChange Told when a picture has been chosen or taken away. */
  constructor(onChange) {
    this.onChange = onChange;
    /** @type {import("./types.js").Photo | null} */
    this.picture = null;
    this.isTaken = false;
    this.choices = 0; // A large picture that is still being read is not shown over one that was chosen after it.
    this.view = byId("reference-view", HTMLImageElement);
    const input = byId("reference-input", HTMLInputElement);
    byId("choose-reference").addEventListener("click", () => input.click());
    byId("remove-reference").addEventListener("click", () => {
      this.remove();
      byId("choose-reference").focus();
      announce("The picture is taken away.");
    });
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      input.value = ""; // The same file again is a change, too.
      if (file) this.take(file);
    });
    byId("reference-choice").addEventListener("picture", (event) => {
      if (event instanceof CustomEvent) this.take(event.detail);
    });
    this.view.addEventListener("error", () => (this.view.hidden = true)); // HEIC in most browsers: its name is shown.
  }

  /** @param {{isTaken: boolean, isNeeded: boolean}} how Whether the chosen style draws like a picture, and only like one. */
  show({ isTaken, isNeeded }) {
    this.isTaken = isTaken;
    byId("reference-choice").hidden = !isTaken;
    byId("reference-text").textContent = [WHAT_FOR, isNeeded ? "" : OPTIONAL, ERASED].filter(Boolean).join(" ");
  }

  /** @returns {import("./types.js").Photo | null} The picture, where the chosen style has a use for it. */
  chosen() {
    return this.isTaken ? this.picture : null;
  }

  /** @param {File} file */
  async take(file) {
    const choice = (this.choices += 1);
    const picture = await preparePhoto(file);
    picture.bitmap?.close(); // It is shown as it is sent.
    if (choice !== this.choices) return;
    this.put(picture, file.name);
    announce("The picture is chosen.");
  }

  remove() {
    this.choices += 1;
    this.put(null, "");
  }

  /** @param {string} text What is wrong with it, or that there is none. */
  complain(text) {
    byId("reference-trouble").textContent = text;
    byId("reference-trouble").hidden = !text;
    if (text) byId("choose-reference").focus();
  }

  /**
   * @param {import("./types.js").Photo | null} picture
   * @param {string} name Of the file.
   */
  put(picture, name) {
    this.picture = picture;
    if (this.view.src) URL.revokeObjectURL(this.view.src);
    if (picture) this.view.src = URL.createObjectURL(picture.blob);
    else this.view.removeAttribute("src");
    this.view.hidden = !picture;
    byId("reference-name").textContent = name;
    byId("reference-chosen").hidden = byId("remove-reference").hidden = !picture;
    byId("choose-reference").textContent = picture ? "Another picture" : "Choose a picture";
    this.complain("");
    this.onChange();
  }
}
