// @ts-check
// One place for sketches, in which each fades over the one before.

import { within } from "./elements.js";

const FADE_MILLISECONDS = 450;

export class Sketches {
  /** @param {HTMLElement} place Holds two images, one above the other. */
  constructor(place) {
    this.place = place;
    this.front = within(place, "img:last-of-type", HTMLImageElement);
    this.back = within(place, "img:first-of-type", HTMLImageElement);
    this.isTurning = false;
    /** @type {Blob | null} */
    this.next = null;
    this.sitting = 0; // Counts whom sketches are of: a late one of another face is not shown.
    this.clear();
  }

  /** Show none, until another comes. */
  clear() {
    this.sitting += 1;
    this.next = null;
    this.place.hidden = this.front.hidden = this.back.hidden = true;
  }

  /**
   * Fade to a newer sketch; while one is fading in, only the newest of those that come is kept for after it.
   *
   * @param {Blob} picture
   */
  async show(picture) {
    this.next = picture;
    if (this.isTurning) return;
    this.isTurning = true;
    while (this.next) {
      const next = this.next;
      this.next = null;
      await this.turnTo(next);
    }
    this.isTurning = false;
  }

  /** @param {Blob} picture */
  async turnTo(picture) {
    const { sitting, front, back } = this;
    const url = URL.createObjectURL(picture);
    try {
      front.src = url;
      await front.decode();
      if (sitting !== this.sitting) return;
      this.place.hidden = front.hidden = false;
      this.place.append(front);
      await front.animate([{ opacity: 0 }, { opacity: 1 }], { duration: FADE_MILLISECONDS }).finished;
      back.hidden = true;
      [this.front, this.back] = [back, front];
    } catch {
      front.hidden = true; // A sketch that cannot be shown is no loss: the next one comes.
    } finally {
      URL.revokeObjectURL(url);
    }
  }
}
