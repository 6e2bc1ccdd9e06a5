// @ts-check
// The prints on the welcome's wall: what the installed styles draw.

import { address } from "./api_client.js";
import { byId } from "./elements.js";

const PRINTS = 3;

/** @param {import("./types.js").Style[]} styles */
export function hangPrints(styles) {
  const samples = styles.flatMap((style) => style.samples.map((sample, index) => ({ sample, index })));
  // The first sample of every style before the second of any.
  const chosen = samples.sort((one, other) => one.index - other.index).slice(0, PRINTS);
  if (chosen.length) byId("sheets").replaceChildren(...chosen.map(({ sample }) => printOf(sample.after)));
}

/** @param {string} path */
function printOf(path) {
  const figure = document.createElement("figure");
  figure.className = "sheet-card";
  const image = document.createElement("img");
  image.src = address(path);
  image.alt = "";
  figure.append(image);
  return figure;
}
