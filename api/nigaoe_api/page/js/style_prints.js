// @ts-check
// The same face in every style, side by side: small prints that are drawn one after the other, each to be made the large one.

import { fromTemplate, within } from "./elements.js";
import { inStyle, lookOf } from "./restyling.js";

/** Styles of another parent do not understand the face's latent. */
const ANOTHER_PARENT = "parent_mismatch";

export class StylePrints {
  /**
   * @param {HTMLElement} container
   * @param {import("./types.js").Style[]} styles In the order of the API: the best first.
   * @param {(name: string) => void} onChoose
   */
  constructor(container, styles, onChoose) {
    this.styles = styles;
    this.container = container;
    /** @type {Map<string, HTMLElement>} */
    this.prints = new Map(styles.map((style) => [style.name, printOf(style, container.id, onChoose)]));
    container.replaceChildren(...this.prints.values());
  }

  /**
   * Draw the face in every style; one that fails says so in its place, and the next one is drawn.
   *
   * @param {import("./restyling.js").Restyler} restyler
   */
  async open(restyler) {
    this.restyler = restyler;
    this.container.hidden = this.styles.length < 2; // With one there is nothing to choose.
    for (const print of this.prints.values()) empty(print);
    if (this.container.hidden) return;
    for (const { name } of this.styles) {
      await this.draw(name);
      if (this.restyler !== restyler) return;
    }
  }

  /** @param {string} name */
  async draw(name) {
    const { restyler } = this;
    if (!restyler) return;
    try {
      const drawing = await restyler.make({ ...inStyle(lookOf(restyler.origin), name, this.styles), degree: 1 });
      if (this.restyler === restyler) this.show(name, drawing);
    } catch (error) {
      if (this.restyler === restyler) this.fail(name, error);
    }
  }

  /**
   * @param {string} name
   * @param {import("./restyling.js").Drawing} drawing
   */
  show(name, { picture }) {
    const print = this.prints.get(name);
    if (!print) return; // Drawn in a style that has been taken off the shelf since.
    const image = within(print, "img", HTMLImageElement);
    image.src = picture.url;
    image.hidden = false;
    say(print, "");
  }

  /**
   * @param {string} name
   * @param {unknown} error
   */
  fail(name, error) {
    const print = this.prints.get(name);
    if (!print) return;
    const code = error instanceof Error && "code" in error ? error.code : "";
    const isForeign = code === ANOTHER_PARENT;
    within(print, "input", HTMLInputElement).disabled = isForeign;
    say(print, isForeign ? "Needs a search of its own" : "Couldn’t be drawn. Tap to try again");
  }

  /** @param {string} name The style of the large print. */
  mark(name) {
    for (const radio of this.container.querySelectorAll("input")) radio.checked = radio.value === name;
  }

  /** Draw no more. */
  close() {
    this.restyler = undefined;
  }
}

/**
 * @param {import("./types.js").Style} style
 * @param {string} group
 * @param {(name: string) => void} onChoose
 * @returns {HTMLElement}
 */
function printOf(style, group, onChoose) {
  const print = fromTemplate("style-print");
  const radio = within(print, "input", HTMLInputElement);
  radio.name = group;
  radio.value = style.name;
  radio.addEventListener("change", () => onChoose(style.name));
  within(print, "strong", HTMLElement).textContent = style.title;
  return print;
}

/** @param {HTMLElement} print */
function empty(print) {
  const image = within(print, "img", HTMLImageElement);
  image.hidden = true;
  image.removeAttribute("src");
  within(print, "input", HTMLInputElement).disabled = false;
  say(print, "Being drawn …");
}

/**
 * @param {HTMLElement} print
 * @param {string} note In the place of its picture; empty: the picture is there.
 */
function say(print, note) {
  const line = within(print, "small", HTMLElement);
  line.textContent = note;
  line.hidden = !note;
  print.classList.toggle("is-waiting", note.endsWith("…"));
}
