// @ts-check
// Sending pictures. XMLHttpRequest, because fetch cannot tell how much of a body has left.

import { Problem, address, authorization, admitted } from "./api_client.js";

/**
 * POST pictures as a form.
 *
 * @param {string} path
 * @param {Record<string, {blob: Blob, name: string}>} pictures By the form's fields.
 * @param {object} options
 * @param {Record<string, string>} [options.fields] Form fields beside the pictures.
 * @param {Record<string, string>} [options.headers]
 * @param {(fraction: number) => void} [options.onProgress]
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<any>} The answer's JSON.
 */
export function upload(path, pictures, options) {
  return admitted(() => send(path, pictures, options));
}

/** @type {typeof upload} */
function send(path, pictures, { fields = {}, headers = {}, onProgress = () => {}, signal }) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  for (const [field, { blob, name }] of Object.entries(pictures)) form.append(field, blob, name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address(path));
    request.responseType = "json";
    for (const [name, value] of Object.entries({ ...authorization(), ...headers }))
      request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / (event.total || 1)));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(request.response);
      else reject(new Problem(request.status, request.response ?? {}, request.getResponseHeader("Retry-After")));
    });
    request.addEventListener("error", () => reject(new Problem(0, {})));
    request.addEventListener("abort", () => reject(new DOMException("Stopped by the user", "AbortError")));
    if (signal?.aborted) return reject(new DOMException("Stopped by the user", "AbortError"));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

/**
 * A name for one order, so that sending it again after a lost answer does not make a second job.
 *
 * @returns {string}
 */
export function newIdempotencyKey() {
  // crypto.randomUUID exists on https and localhost only; a studio in the home network is neither.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
