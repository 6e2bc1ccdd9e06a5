// @ts-check
// From a file to a job: prepare the photo, send it once, let a face and a style be chosen, order the drawing.

import { Problem, request } from "./api_client.js";
import { announce } from "./announcer.js";
import { byId } from "./elements.js";
import { offerFaces, withdrawFaces } from "./face_chooser.js";
import { preparePhoto } from "./photo_preparation.js";
import { showStep } from "./steps.js";
import { newIdempotencyKey, upload } from "./upload.js";

/**
 * A photo with what is known of it, for as long as the visitor may come back to it.
 *
 * @typedef {object} Sitting
 * @property {string} id Names it among the places of the visit.
 * @property {import("./types.js").Photo} photo
 * @property {import("./types.js").FoundFaces} found
 * @property {Map<string, {face: import("./types.js").Face, choice: import("./style_options.js").Choice}>} made What was
 *   ordered of it, by the jobs' ids.
 */

/**
 * Sends an order, and again after an answer that got lost, which makes no second job. While it is on its way, callers
 * share its answer. Nothing takes it back: the studio may draw it although nobody waits for the answer any more.
 *
 * @typedef {() => Promise<import("./types.js").Job>} Order
 */

/** Answers of a studio that has not got the photo any more. */
const PHOTO_IS_ELSEWHERE = ["photo_gone", "invalid_photo_token"];

/**
 * @param {Blob} file
 * @param {import("./print_frame.js").PrintFrame} frame
 * @param {AbortSignal} signal
 * @returns {Promise<import("./types.js").Photo>}
 */
export async function readPhoto(file, frame, signal) {
  byId("reading-text").textContent = "Getting it ready.";
  byId("upload-progress").removeAttribute("value");
  showStep("reading");
  const photo = await preparePhoto(file);
  signal.throwIfAborted();
  frame.showPhoto(photo);
  return photo;
}

/**
 * Send the photo, which the studio keeps for the order to come, and learn where its faces are.
 *
 * @param {import("./types.js").Photo} photo
 * @param {AbortSignal} signal
 * @returns {Promise<import("./types.js").FoundFaces>}
 */
export async function findFaces(photo, signal) {
  showUpload(0, photo.blob.size);
  showStep("reading");
  const onProgress = (/** @type {number} */ fraction) => showUpload(fraction, photo.blob.size);
  /** @type {import("./types.js").FoundFaces} */
  const found = await upload("faces", { photo }, { fields: { keep: "true" }, signal, onProgress });
  if (found.faces.length === 0) throw new Problem(422, { code: "no_face" });
  return found;
}

/**
 * @param {number} fraction
 * @param {number} bytes
 */
function showUpload(fraction, bytes) {
  const bar = byId("upload-progress", HTMLProgressElement);
  if (fraction < 1) {
    bar.value = fraction;
    byId("reading-text").textContent = `Sending it to the studio: ${megabytes(fraction * bytes)} of ${megabytes(bytes)} MB.`;
  } else {
    bar.removeAttribute("value");
    byId("reading-text").textContent = "Looking for faces.";
  }
}

/**
 * The face to draw; where there are several, the user's choice.
 *
 * @param {Sitting} sitting
 * @param {import("./print_frame.js").PrintFrame} frame
 * @param {AbortSignal} signal
 * @returns {Promise<import("./types.js").Face>}
 */
export async function chooseFace({ photo, found }, frame, signal) {
  if (found.faces.length === 1) return found.faces[0];
  frame.fitUnseenPhoto(found);
  let chosen = found.faces[0];
  offerFaces(photo, found, (face) => (chosen = face));
  byId("faces-text").textContent = `There are ${found.faces.length} faces in the photo. Tap the one to draw.`;
  showStep("faces");
  announce(`${found.faces.length} faces found. Choose one.`);
  await pressed("confirm-face", signal);
  withdrawFaces();
  return chosen;
}

/**
 * Wait until the user has chosen how to be drawn.
 *
 * @param {import("./style_options.js").StyleOptions} options
 * @param {AbortSignal} signal
 * @returns {Promise<import("./style_options.js").Choice>}
 */
export async function chooseOptions(options, signal) {
  showStep("style");
  for (;;) {
    await pressed("start", signal);
    const choice = options.choice();
    if (choice) return choice;
  }
}

/**
 * @param {Sitting} sitting
 * @param {import("./types.js").Face} face
 * @param {import("./style_options.js").Choice} choice
 * @returns {Order}
 */
export function orderFor({ photo, found }, face, { fields, reference }) {
  const headers = { "Idempotency-Key": newIdempotencyKey() };
  const all = { ...fields, face: face.token ?? String(face.index) };
  const whole = () => upload("convert", reference ? { photo, reference } : { photo }, { fields: all, headers });
  const send = async () => {
    const token = found.photo_token;
    if (!token) return whole();
    try {
      return await orderKept({ ...all, photo_token: token }, reference, headers);
    } catch (error) {
      if (!(error instanceof Problem) || !PHOTO_IS_ELSEWHERE.includes(error.code)) throw error;
      return whole();
    }
  };
  /** @type {Promise<import("./types.js").Job> | null} */
  let sent = null;
  return () => {
    sent ??= send().catch((error) => {
      sent = null;
      throw error;
    });
    return sent;
  };
}

/**
 * What became of an order; one whose answer got lost is sent again, as it may have been taken all the same.
 *
 * @param {Order} order
 * @returns {Promise<import("./types.js").Job | null>} Null: it was refused.
 */
export async function outcomeOf(order) {
  try {
    return await order();
  } catch (error) {
    if (error instanceof Problem && error.status) return null;
    throw error;
  }
}

/**
 * Order a drawing of a photo that is there already.
 *
 * @param {Record<string, string>} order
 * @param {import("./types.js").Photo | null} reference
 * @param {Record<string, string>} headers
 * @returns {Promise<import("./types.js").Job>}
 */
async function orderKept(order, reference, headers) {
  if (reference) return upload("convert", { reference }, { fields: order, headers });
  const isJson = { "Content-Type": "application/json", ...headers };
  return (await request("convert", { method: "POST", headers: isJson, body: JSON.stringify(order) })).json();
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

/** @param {number} bytes */
function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}
