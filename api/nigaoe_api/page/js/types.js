// @ts-check
// The API's JSON as the page uses it (see api/nigaoe_api/schemas.py).

/**
 * @typedef {object} Face
 * @property {number} index By size; 0 is the largest.
 * @property {[number, number, number, number]} box x0, y0, x1, y1 in pixels of the upright photo.
 * @property {[number, number][]} landmarks Left eye, right eye, nose, left and right mouth corner.
 * @property {string} [token] What `POST /convert` takes as `face`.
 */

/**
 * @typedef {object} FoundFaces
 * @property {number} width
 * @property {number} height
 * @property {Face[]} faces
 * @property {string | null} [photo_token] Names the photo in an order, so that it need not be sent again.
 */

/**
 * @typedef {object} Progress
 * @property {string} stage
 * @property {number} step
 * @property {number} total
 * @property {number | null} [distance] Events leave out what has no value.
 * @property {number | null} [distance_start]
 */

/**
 * @typedef {object} JobOptions
 * @property {string} style
 * @property {string} method
 * @property {string} preset
 * @property {number} degree
 * @property {number} truncation
 * @property {number} colours
 */

/**
 * @typedef {object} Report
 * @property {number | null} distance_start
 * @property {number | null} distance_end
 * @property {number} steps
 * @property {string} stop_reason `one_pass` where there was no search.
 * @property {number | null} [seed] Of what was drawn in one pass; null where a reference took its place.
 * @property {boolean} [reference]
 */

/**
 * @typedef {object} Job
 * @property {string} id
 * @property {string} kind
 * @property {"queued" | "running" | "succeeded" | "failed" | "cancelled" | "expired"} state
 * @property {number | null} queue_position
 * @property {number | null} seconds_left
 * @property {Progress | null} progress
 * @property {JobOptions} options
 * @property {Face[]} faces
 * @property {number | null} face_index
 * @property {Record<string, number>} timings
 * @property {Report | null} report
 * @property {{code: string, title: string, message: string} | null} error
 * @property {string | null} expires_at
 * @property {string | null} parent_id
 * @property {{result: string | null, result_png: string | null, restyle: string | null}} links
 */

/**
 * What a link shows to somebody else than the drawing's owner.
 *
 * @typedef {object} SharedDrawing
 * @property {string} id
 * @property {{style: string, degree: number, truncation: number, colours: number}} options
 * @property {string | null} expires_at
 * @property {{result: string | null, result_png: string | null}} links
 */

/**
 * @typedef {object} Style
 * @property {string} name
 * @property {string} title
 * @property {string} description
 * @property {boolean} ready
 * @property {boolean} default
 * @property {string} method How it draws: by `reverse-generation`, which searches, or in one pass.
 * @property {string[]} options Those of `POST /convert` that it takes, of those that not every method takes.
 * @property {boolean} needs_reference
 * @property {number | null} truncation Of photos for which nobody asks for another; null where there is no latent.
 * @property {import("./alignment.js").Alignment | null} alignment
 * @property {{title: string, before: string | null, after: string}[]} samples
 */

/**
 * A photo on its way: what is sent, and what the browser can show of it.
 *
 * @typedef {object} Photo
 * @property {Blob} blob
 * @property {string} name
 * @property {ImageBitmap | null} bitmap Null where the browser cannot read the format (HEIC in most).
 */

export {};
