// @ts-check
// The styles as cards to choose from, each with a picture that it drew.

import { address } from "./api_client.js";
import { fromTemplate, within } from "./elements.js";

/**
 * @param {HTMLElement} container
 * @param {import("./types.js").Style[]} styles
 * @param {object} options
 * @param {string} options.chosen
 * @param {(name: string) => void} options.onChoose
 */
export function showStyleCards(container, styles, { chosen, onChoose }) {
  container.replaceChildren(
    ...styles.map((style) => {
      const card = fromTemplate("style-card");
      const radio = within(card, "input", HTMLInputElement);
      radio.name = container.id;
      radio.value = style.name;
      radio.checked = style.name === chosen;
      radio.addEventListener("change", () => onChoose(style.name));
      within(card, "strong", HTMLElement).textContent = style.title;
      within(card, "small", HTMLElement).textContent = style.description;
      const picture = within(card, "img", HTMLImageElement);
      if (style.samples.length) picture.src = address(style.samples[0].after);
      else picture.parentElement?.remove();
      return card;
    }),
  );
}

/**
 * @param {HTMLElement} container
 * @param {string} name
 */
export function markStyle(container, name) {
  for (const radio of container.querySelectorAll("input")) radio.checked = radio.value === name;
}
