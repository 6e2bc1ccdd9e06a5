// @ts-check
// Several faces in one photo: boxes over it and thumbnails beside it, both the same group of radio buttons.

import { PORTRAIT, drawAligned } from "./alignment.js";
import { byId } from "./elements.js";

/**
 * Show the faces and let one be chosen; the largest is to begin with.
 *
 * @param {import("./types.js").Photo} photo
 * @param {import("./types.js").FoundFaces} found
 * @param {(face: import("./types.js").Face) => void} onChoose Called at once and at every change.
 */
export function offerFaces(photo, found, onChoose) {
  const boxes = byId("face-boxes");
  const thumbs = byId("face-thumbs");
  const choose = (/** @type {import("./types.js").Face} */ face) => {
    thumbs
      .querySelectorAll("label")
      .forEach((thumb, index) => thumb.classList.toggle("is-chosen", index === face.index));
    onChoose(face);
  };
  // In the order of reading, so that arrow keys go from left to right.
  const inOrder = [...found.faces].sort((one, other) => one.box[0] - other.box[0]);
  boxes.replaceChildren(...inOrder.map((face) => boxOf(face, found, choose)));
  thumbs.replaceChildren(...found.faces.map((face) => thumbOf(face, photo)));
  choose(found.faces[0]);
}

/** Take the boxes away. */
export function withdrawFaces() {
  byId("face-boxes").replaceChildren();
  byId("face-thumbs").replaceChildren();
}

/**
 * @param {import("./types.js").Face} face
 * @param {import("./types.js").FoundFaces} found
 * @param {(face: import("./types.js").Face) => void} onChoose
 */
function boxOf(face, found, onChoose) {
  const label = document.createElement("label");
  label.className = "face-box";
  const [x0, y0, x1, y1] = face.box;
  label.style.left = percent(x0 / found.width);
  label.style.top = percent(y0 / found.height);
  label.style.width = percent((x1 - x0) / found.width);
  label.style.height = percent((y1 - y0) / found.height);
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = "face";
  radio.id = `face-${face.index}`;
  radio.checked = face.index === 0;
  radio.setAttribute("aria-label", nameOf(face, found));
  radio.addEventListener("change", () => onChoose(face));
  const tag = document.createElement("span");
  tag.textContent = String(face.index + 1);
  label.append(radio, tag);
  return label;
}

/**
 * @param {import("./types.js").Face} face
 * @param {import("./types.js").Photo} photo
 */
function thumbOf(face, photo) {
  const label = document.createElement("label");
  label.className = "face-thumb";
  label.htmlFor = `face-${face.index}`;
  if (photo.bitmap) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 136;
    drawAligned(canvas, photo.bitmap, face, PORTRAIT);
    label.append(canvas);
  }
  label.append(String(face.index + 1));
  return label;
}

/**
 * @param {import("./types.js").Face} face
 * @param {import("./types.js").FoundFaces} found
 */
function nameOf(face, found) {
  const middle = (face.box[0] + face.box[2]) / 2 / found.width;
  const place = middle < 1 / 3 ? "on the left" : middle > 2 / 3 ? "on the right" : "in the middle";
  return `Face ${face.index + 1} of ${found.faces.length}, ${place}${face.index === 0 ? ", the largest" : ""}`;
}

/** @param {number} share */
function percent(share) {
  return `${(share * 100).toFixed(3)}%`;
}
