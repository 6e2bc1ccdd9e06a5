// @ts-check
// Taking a portrait home: as a file, to another application, or as a link.

import { Problem, address, shareJob } from "./api_client.js";

/**
 * @param {{job: {id: string, options: {style: string}}}} drawing
 * @returns {string}
 */
function fileName({ job }) {
  return `nigaoe-${job.options.style}-${job.id.slice(0, 8)}.png`;
}

/** @param {{job: {id: string, options: {style: string}, links: {result_png: string | null}}, picture: import("./pictures.js").Picture}} drawing */
export function download(drawing) {
  const link = document.createElement("a");
  const { blob, url } = drawing.picture;
  link.href = blob ? url : saving(drawing.job.links.result_png ?? url);
  link.download = fileName(drawing);
  link.click();
}

/** @param {string} link */
function saving(link) {
  const wanted = new URL(address(link));
  wanted.searchParams.set("download", "true");
  return wanted.href;
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
  try {
    const data = await sharedData(drawing);
    if (!canShare()) return await copyLink(data.url ?? (await shareJob(drawing.job.id)));
    await navigator.share(data);
    return "Shared.";
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return "";
    if (error instanceof Problem) return "The link can’t be made just now. Try again in a moment.";
    return copyLink(await shareJob(drawing.job.id));
  }
}

/**
 * @param {import("./restyling.js").Drawing} drawing
 * @returns {Promise<ShareData>} The picture itself where the device takes files, else its link.
 */
async function sharedData(drawing) {
  const text = "Drawn by Nigaoe 似顔絵";
  const files = drawing.picture.blob
    ? [new File([drawing.picture.blob], fileName(drawing), { type: "image/png" })]
    : [];
  if (files.length && navigator.canShare?.({ files })) return { files, text };
  return { text, url: await shareJob(drawing.job.id) };
}

/**
 * @param {string} link
 * @returns {Promise<string>}
 */
async function copyLink(link) {
  try {
    await navigator.clipboard.writeText(link);
    return "The link is copied. Whoever has it can see this drawing, and nothing else of yours.";
  } catch {
    return `Copy this link: ${link}`; // No clipboard without https.
  }
}
