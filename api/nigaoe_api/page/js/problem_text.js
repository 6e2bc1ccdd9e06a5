// @ts-check
// What went wrong, in words for the person at the page. The codes are stable: they are those of core/nigaoe_core/errors.py.

/**
 * @typedef {object} Trouble
 * @property {string} title
 * @property {string} text
 * @property {boolean} retry Whether the same photo may work at another try.
 */

/** @type {Record<string, [title: string, text: string]>} The photo is at fault: another one helps, a retry does not. */
const PHOTO = {
  no_face: ["No face to be seen", "Choose a photo in which one face looks at you, well lit and not too small."],
  empty_image: ["An empty file", "There is nothing in this file. Choose the photo again."],
  unsupported_format: [
    "Not a photo we can open",
    "JPEG, PNG, WebP, AVIF and HEIC work. Save it as one of these, or take a screenshot of it.",
  ],
  unsupported_media_type: [
    "Not a photo we can open",
    "JPEG, PNG, WebP, AVIF and HEIC work. Save it as one of these, or take a screenshot of it.",
  ],
  image_too_large: ["Too large a photo", "Make it smaller, or crop it to the face."],
  request_too_large: ["Too large a photo", "Make it smaller, or crop it to the face."],
  image_too_small: ["Too small a photo", "There are too few dots to find a face in. Choose a larger one."],
  broken_image: ["A damaged photo", "The file breaks off or is damaged. Save it again, or choose another."],
  invalid_image: ["This photo cannot be used", "Choose another one."],
  reference_without_face: ["No face to draw like", "Choose a picture in which one drawn face looks at you."],
  reference_needed: ["A picture to draw like is missing", "This style draws nothing without one. Choose a picture."],
  face_error: ["This face cannot be used", "Choose a clearer photo, taken from the front."],
  unknown_job: ["This print is gone", "It was deleted, or its time was over. A new one is soon drawn."],
  invalid_link: ["This link is not whole", "Part of it got lost on the way. Ask for it again, and copy all of it."],
  expired: ["It waited too long", "The studio was too busy to draw this in time. Send the photo once more."],
};

/** What a reference may be refused for. */
const REFERENCES = new Set([
  "reference_without_face",
  "empty_image",
  "unsupported_format",
  "image_too_large",
  "request_too_large",
  "image_too_small",
  "broken_image",
  "invalid_image",
]);

/** @type {Record<string, [title: string, text: string]>} The moment is at fault: trying again may help. */
const MOMENT = {
  network: ["The studio is out of reach", "Check your connection. As soon as it is back, this goes on by itself."],
  queue_full: ["The studio is full", "Many people are waiting. Your photo stays here and is sent when there is room."],
  uploads_full: ["The studio is full", "Many photos are arriving at once. Yours stays here and is sent when there is room."],
  quota_exceeded: [
    "One at a time, please",
    "You have as many drawings under way as you may. It goes on when one is ready.",
  ],
  rate_limited: ["A little slower, please", "You have asked very often. It goes on in a moment."],
  not_ready: ["The studio is still opening", "The brushes are being laid out. It goes on in a moment."],
  store_unavailable: ["A short break", "The studio's order book cannot be reached. It goes on in a moment."],
  blobs_unavailable: ["A short break", "The studio's picture store cannot be reached. It goes on in a moment."],
  storage_full: ["No paper left", "The server's disk is full. Whoever runs this studio has to make room."],
  request_timeout: ["Too slow a connection", "The photo did not arrive in time. Try again where the signal is better."],
  worker_lost: ["The brush was dropped", "The drawing was interrupted several times. Send the photo once more."],
  deadline_exceeded: [
    "It took too long",
    "The drawing was not ready in time. Try once more, or choose the quick sketch.",
  ],
  inversion_failed: ["No likeness was found", "The search went astray. Try once more, or another photo."],
  numerical_failure: ["No likeness was found", "The search went astray. Try once more, or another photo."],
  invalid_face_token: ["Please choose the face again", "The choice belongs to another photo or is too old."],
  unknown_style: ["This style is gone", "It was taken off the shelf. Choose another."],
  option_not_taken: ["This style cannot do that", "It was changed a moment ago. Load the page again."],
  no_latent: ["This style needs the photo again", "It draws photos, not prints. Draw the photo anew to have it in this style."],
  parent_mismatch: [
    "This style needs its own search",
    "It was made by another hand. Draw the photo anew to have it in this style.",
  ],
  no_such_result: ["The sketches are gone", "What this print was made from has been erased. Draw the photo anew."],
  anonymous_refused: [
    "Cookies are needed here",
    "A small cookie keeps your drawings apart from other people’s. Allow it for this page, and try again.",
  ],
  cross_origin: ["Please open the page itself", "This studio only takes orders from its own page. Open it in a tab of its own."],
  unauthorized: ["This studio needs a key", "Ask whoever runs it for one."],
};

/**
 * @param {unknown} error Of an order with a reference. Its photo had been looked at before, and was a good one.
 * @returns {string | null} What is wrong with the reference, and what to do; null: the trouble is another one.
 */
export function troubleWithReference(error) {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return REFERENCES.has(code) ? PHOTO[code].join(". ") : null;
}

/**
 * @param {{code: string, title?: string, message?: string}} failure A `Problem` or a job's error.
 * @returns {Trouble}
 */
export function troubleOf({ code, title, message }) {
  const known = PHOTO[code] ?? MOMENT[code];
  if (known) return { title: known[0], text: known[1], retry: code in MOMENT };
  return {
    title: title || "Something went wrong",
    text: message || "The studio could not finish this. Try once more.",
    retry: true,
  };
}
