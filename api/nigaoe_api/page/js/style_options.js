// @ts-check
// What may be chosen beside the style. Each method takes options of its own: a search its care and its way, a style that
// draws in one pass which of its many drawings, and after which picture.

import { byId } from "./elements.js";
import { ReferenceChooser } from "./reference_chooser.js";

/** @typedef {import("./types.js").Style} Style */

/**
 * What is ordered, beside the photo and its face.
 *
 * @typedef {object} Choice
 * @property {Record<string, string>} fields Form fields of `POST /convert`.
 * @property {import("./types.js").Photo | null} reference
 */

const SEARCHING = "reverse-generation";
/** Few enough digits to be read out and typed in. */
const SEEDS = 10_000;

/**
 * @param {Style | undefined} style
 * @returns {boolean} Whether it draws without a search, and keeps nothing that could be drawn again in another look.
 */
export function isOnePass(style) {
  return style !== undefined && style.method !== SEARCHING;
}

/** @returns {string} The seed of another drawing. */
export function anotherSeed() {
  return String(crypto.getRandomValues(new Uint32Array(1))[0] % SEEDS);
}

export class StyleOptions {
  constructor() {
    this.seed = byId("seed", HTMLInputElement);
    this.reference = new ReferenceChooser(() => this.style && this.show(this.style));
    byId("another-seed").addEventListener("click", () => (this.seed.value = anotherSeed()));
  }

  /** @param {Style} style The chosen one: only what it takes is shown. */
  show(style) {
    this.style = style;
    const [searches, takes] = [!isOnePass(style), (/** @type {string} */ name) => style.options.includes(name)];
    byId("preset-choice").hidden = byId("method-details").hidden = !searches;
    this.reference.show({ isTaken: !searches && takes("reference"), isNeeded: style.needs_reference });
    // A reference says what else would be left to chance.
    byId("seed-choice").hidden = searches || !takes("seed") || this.reference.chosen() !== null;
  }

  /** @returns {Choice | null} Null: something is missing, and the visitor has been told. */
  choice() {
    const { style } = this;
    if (!style) return null;
    if (!isOnePass(style)) {
      const preset = /** @type {HTMLInputElement} */ (byId("preset-choice").querySelector("input:checked")).value;
      // The preset instant searches nowhere, whatever is chosen behind the fold.
      const method = preset === "instant" ? "cross" : byId("method-choice", HTMLSelectElement).value;
      return { fields: { style: style.name, preset, method }, reference: null };
    }
    const reference = this.reference.chosen();
    if (style.needs_reference && !reference) {
      this.reference.complain("This style draws nothing without one. Choose a picture.");
      return null;
    }
    if (!byId("seed-choice").hidden && !this.seed.reportValidity()) return null;
    /** @type {Record<string, string>} */
    const seed = byId("seed-choice").hidden ? {} : { seed: this.seed.value };
    return { fields: { style: style.name, ...seed }, reference };
  }
}
