// @ts-check
// From a file to a job: prepare the photo, find its faces, let one and a style be chosen, send the order.

import { Problem } from "./api_client.js";
import { announce } from "./announcer.js";
import { byId } from "./elements.js";
import { offerFaces, withdrawFaces } from "./face_chooser.js";
import { preparePhoto } from "./photo_preparation.js";
import { showStep } from "./steps.js";
import { newIdempotencyKey, upload } from "./upload.js";

/** @typedef {{photo: import("./types.js").Photo, face: import("./types.js").Face}} Sitter Whom to draw. */

/**
 * @param {Blob} file
 * @param {import("./print_frame.js").PrintFrame} frame
 * @param {AbortSignal} signal
 * @returns {Promise<import("./types.js").Photo>}
 */
export async function readPhoto(file, frame, signal) {
  byId("reading-text").textContent = "Getting it ready.";
  byId("upload-progress", HTMLProgressElement).value = 0;
  showStep("reading");
  const photo = await preparePhoto(file);
  signal.throwIfAborted();
  frame.showPhoto(photo);
  return photo;
}

/**
 * Find the faces; where there are several, wait for the user's choice.
 *
 * @param {import("./types.js").Photo} photo
 * @param {import("./print_frame.js").PrintFrame} frame
 * @param {AbortSignal} signal
 * @returns {Promise<import("./types.js").Face>}
 */
export async function chooseFace(photo, frame, signal) {
  byId("reading-text").textContent = "Sending it to the studio.";
  showStep("reading");
  /** @type {import("./types.js").FoundFaces} */
  const found = await upload("faces", photo, { signal, onProgress: showUpload });
  if (found.faces.length === 0) throw new Problem(422, { code: "no_face" });
  if (found.faces.length === 1) return found.faces[0];
  frame.fitUnseenPhoto(found);
  let chosen = found.faces[0];
  offerFaces(photo, found, (face) => (chosen = face));
  byId("faces-text").textContent = `There are ${found.faces.length} faces in the photo. Press the one to draw.`;
  showStep("faces");
  announce(`${found.faces.length} faces found. Choose one.`);
  await pressed("confirm-face", signal);
  withdrawFaces();
  return chosen;
}

/** @param {number} fraction */
function showUpload(fraction) {
  byId("upload-progress", HTMLProgressElement).value = fraction;
  if (fraction >= 1) {
    byId("reading-text").textContent = "Looking for faces.";
    byId("upload-progress").removeAttribute("value");
  }
}

/**
 * Wait until the user has chosen how to be drawn.
 *
 * @param {() => string} chosenStyle
 * @param {AbortSignal} signal
 * @returns {Promise<Record<string, string>>} Form fields of `POST /convert`.
 */
export async function chooseOptions(chosenStyle, signal) {
  showStep("style");
  await pressed("start", signal);
  const preset = /** @type {HTMLInputElement} */ (byId("preset-choice").querySelector("input:checked")).value;
  return { style: chosenStyle(), preset, method: byId("method-choice", HTMLSelectElement).value };
}

/**
 * A sender of one order. Calling it again after a lost answer does not make a second job.
 *
 * @param {Sitter} sitter
 * @param {Record<string, string>} fields
 * @returns {(signal: AbortSignal) => Promise<import("./types.js").Job>}
 */
export function orderFor({ photo, face }, fields) {
  const headers = { "Idempotency-Key": newIdempotencyKey() };
  const all = { ...fields, face: face.token ?? String(face.index) };
  return (signal) => upload("convert", photo, { fields: all, headers, signal });
}

/**
 * @param {string} button
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pressed(button, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    byId(button).addEventListener("click", () => resolve(), { once: true, signal });
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
