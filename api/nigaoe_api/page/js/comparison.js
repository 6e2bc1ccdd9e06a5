// @ts-check
// Photo and drawing under one movable line: img-comparison-slider, made a slider for keyboards and screen readers, too.

import { byId } from "./elements.js";

/** @type {Record<string, (value: number) => number>} */
const KEYS = {
  ArrowLeft: (value) => value - 5,
  ArrowDown: (value) => value - 5,
  ArrowRight: (value) => value + 5,
  ArrowUp: (value) => value + 5,
  PageDown: (value) => value - 20,
  PageUp: (value) => value + 20,
  Home: () => 0,
  End: () => 100,
};

/** @typedef {HTMLElement & {value: number}} SliderElement */

export class Comparison {
  /** @param {HTMLElement} container */
  constructor(container) {
    this.before = picture("first", "Before");
    this.after = picture("second", "Your portrait");
    this.tags = [tag("before"), tag("after")];
    this.slider = /** @type {SliderElement} */ (document.createElement("img-comparison-slider"));
    this.slider.tabIndex = 0;
    this.slider.setAttribute("keyboard", "disabled"); // Its own keys move only while held; ours take steps.
    this.slider.setAttribute("role", "slider");
    this.slider.setAttribute("aria-valuemin", "0");
    this.slider.setAttribute("aria-valuemax", "100");
    this.slider.append(this.before, this.after, grip());
    this.slider.addEventListener("slide", () => this.tell());
    this.slider.addEventListener("keydown", (event) => this.press(event));
    this.whole = document.createElement("img");
    this.whole.alt = "Your portrait";
    this.toggle = byId("portrait-only");
    this.toggle.addEventListener("click", () => this.setAlone(!this.isAlone));
    container.replaceChildren(this.slider, this.whole, ...this.tags);
    this.hideBefore();
  }

  /** @param {boolean} alone Whether the portrait is shown without anything to compare it with. */
  setAlone(alone) {
    this.isAlone = alone;
    this.whole.hidden = !alone;
    for (const part of [this.slider, ...this.tags]) part.hidden = alone;
    this.toggle.setAttribute("aria-pressed", String(alone));
  }

  /** There is nothing to compare the portrait with. */
  hideBefore() {
    this.toggle.hidden = true;
    this.setAlone(true);
  }

  /**
   * @param {string} url
   * @param {string} name What the left side is, such as "photo".
   */
  showBefore(url, name) {
    this.before.src = url;
    this.before.alt = `The ${name}`;
    this.beforeName = name;
    this.tags[0].textContent = name;
    this.toggle.hidden = false;
    this.slider.setAttribute("aria-label", `Compare the ${name} with the portrait`);
    this.setAlone(false);
    this.reveal();
  }

  /** @param {string} url */
  showAfter(url) {
    this.after.src = this.whole.src = url;
    this.tags[1].textContent = "portrait";
  }

  /** Begin with the portrait whole and draw the line to the middle, so that it is seen that it moves. */
  reveal() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.moveTo(50);
    const began = performance.now();
    const frame = (/** @type {number} */ now) => {
      const t = Math.min(1, (now - began) / 1100);
      this.moveTo(50 * (1 - (1 - t) ** 3));
      if (t < 1 && !this.slider.matches(":focus, :active")) requestAnimationFrame(frame);
    };
    this.moveTo(0);
    requestAnimationFrame(frame);
  }

  /** @param {number} value Per cent of the width that shows the left picture. */
  moveTo(value) {
    this.slider.value = Math.min(100, Math.max(0, value));
    this.tell();
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const move = KEYS[event.key];
    if (!move) return;
    event.preventDefault();
    this.moveTo(move(this.slider.value));
  }

  tell() {
    const value = Math.round(this.slider.value);
    this.slider.setAttribute("aria-valuenow", String(value));
    this.slider.setAttribute("aria-valuetext", `${value} % ${this.beforeName ?? "photo"}, ${100 - value} % portrait`);
  }
}

/**
 * @param {"first" | "second"} slot
 * @param {string} alt
 */
function picture(slot, alt) {
  const image = document.createElement("img");
  image.slot = slot;
  image.alt = alt;
  return image;
}

/** @param {"before" | "after"} side */
function tag(side) {
  const element = document.createElement("span");
  element.className = `tag tag--${side}`;
  element.setAttribute("aria-hidden", "true");
  return element;
}

function grip() {
  const element = document.createElement("span");
  element.slot = "handle";
  element.className = "grip";
  element.lang = "ja";
  element.textContent = "似";
  element.setAttribute("aria-hidden", "true");
  return element;
}
