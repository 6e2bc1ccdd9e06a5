// @ts-check
// Taking a portrait home: as a file, to another application, or as a link.

import { address } from "./api_client.js";

/**
 * @param {import("./restyling.js").Drawing} drawing
 * @returns {string}
 */
function fileName({ job }) {
  return `nigaoe-${job.options.style}-${job.id.slice(0, 8)}.png`;
}

/** @param {import("./restyling.js").Drawing} drawing */
export function download(drawing) {
  const link = document.createElement("a");
  const { blob, url } = drawing.picture;
  link.href = blob ? url : address(`jobs/${drawing.job.id}/result.png?download=true`);
  link.download = fileName(drawing);
  link.click();
}

/**
 * The page's own address of a print.
 *
 * @param {string} id
 */
export function linkTo(id) {
  return `${location.origin}${location.pathname}#${id}`;
}

/** @returns {boolean} Whether this device has a sheet to share with. */
export function canShare() {
  return typeof navigator.share === "function";
}

/**
 * @param {import("./restyling.js").Drawing} drawing
 * @returns {Promise<string>} What happened, as a sentence.
 */
export async function share(drawing) {
  if (!canShare()) return copyLink(linkTo(drawing.job.id));
  try {
    await navigator.share(sharedData(drawing));
    return "Shared.";
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return "";
    return copyLink(linkTo(drawing.job.id));
  }
}

/**
 * @param {import("./restyling.js").Drawing} drawing
 * @returns {ShareData} The picture itself where the device takes files, else its link.
 */
function sharedData(drawing) {
  const text = "Drawn by Nigaoe 似顔絵";
  const files = drawing.picture.blob
    ? [new File([drawing.picture.blob], fileName(drawing), { type: "image/png" })]
    : [];
  if (files.length && navigator.canShare?.({ files })) return { files, text };
  return { text, url: linkTo(drawing.job.id) };
}

/**
 * @param {string} link
 * @returns {Promise<string>}
 */
async function copyLink(link) {
  try {
    await navigator.clipboard.writeText(link);
    return "The link is copied. Whoever has it can see and delete this print.";
  } catch {
    return `Copy this link: ${link}`; // No clipboard without https.
  }
}
