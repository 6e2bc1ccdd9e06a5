// @ts-check
// Finished pictures, fetched once: shown, saved and shared from memory, whatever becomes of their short-lived links.

import { Problem, request } from "./api_client.js";

/**
 * @typedef {object} Picture
 * @property {string} url For an img; an object URL where the bytes are here.
 * @property {Blob | null} blob Null where the store lets pages show its pictures but not read them (S3 without CORS).
 */

/**
 * @param {{result: string | null, result_png: string | null}} links Of a drawing that has succeeded.
 * @param {AbortSignal} [signal]
 * @returns {Promise<Picture>}
 */
export async function fetchResult(links, signal) {
  const link = links.result_png ?? links.result;
  if (!link) throw new Problem(404, { code: "no_such_result", title: "There is no picture" });
  try {
    const blob = await (await request(link, { signal })).blob();
    return { url: URL.createObjectURL(blob), blob };
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== "network" || !navigator.onLine) throw error;
    return { url: link, blob: null };
  }
}

/** @param {Picture} picture */
export function release(picture) {
  if (picture.blob) URL.revokeObjectURL(picture.url);
}
